import { findNamed } from '../../../daemon/models/find.js'
import { formatTable } from '../../../daemon/models/format.js'
import type { Kind, NamedEntry } from '../../../daemon/models/kind.js'
import { fullModelName } from '../../../daemon/models/names.js'
import type { NamedRecord } from '../../../daemon/models/record.js'
import { modelReference } from '../model-reference.js'

/** Finds what a person named, and the record of it if it is registered. */
export function findShown<Entry extends NamedEntry, Item extends NamedRecord>(
  kind: Kind<Entry, Item>,
  reference: string,
): { readonly entry: Entry; readonly record: Item | undefined } {
  const store = kind.openStore()
  const entry = findNamed(kind, modelReference(reference), store)
  const { name, path } = entry
  const { records } = store.read()
  return { entry, record: name === path ? undefined : records.find((each) => each.name === fullModelName(name)) }
}

/** Lines of a name and a value, without those that have none. */
export function describeLines(lines: readonly (readonly [string, string | undefined])[]): string {
  return formatTable(lines.filter((line): line is [string, string] => line[1] !== undefined))
}
