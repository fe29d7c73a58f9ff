import { existsSync } from 'node:fs'
import { Flags } from '@oclif/core'
import { digestOf } from '../../../daemon/models/digest.js'
import { formatAge, formatBytes, formatTable } from '../../../daemon/models/format.js'
import type { Kind, NamedEntry } from '../../../daemon/models/kind.js'
import { shortModelName } from '../../../daemon/models/names.js'
import type { ModelFamily, NamedRecord } from '../../../daemon/models/record.js'
import type { DamagedRecord } from '../../../daemon/models/store.js'
import { daemonPaths } from '../../../daemon/paths.js'
import type { BaseCommand } from '../base-command.js'

/** One line of a list. */
export interface ListedName extends Pick<NamedRecord, 'path' | 'kind' | 'bytes' | 'dtype' | 'digest'> {
  /** Without the tag `latest`. */
  readonly name: string
  /** The first 12 digits of the digest. */
  readonly id: string
  readonly family?: ModelFamily
  /** When it was registered; what comes with swiftd was not. */
  readonly added?: string
  /** Whether its folder or file is gone. */
  readonly missing: boolean
}

/** Everything of a kind that has a name. */
export interface ListedNames {
  readonly listed: readonly ListedName[]
  readonly damaged: readonly DamagedRecord[]
}

/** Flags of all commands that list names. */
export const LIST_FLAGS = {
  quiet: Flags.boolean({ char: 'q', description: 'Print only the names, one a line.', env: 'SWIFTD_QUIET' }),
}

type WithFamily = NamedRecord & { readonly family?: ModelFamily }

/** Lists a kind and, unless the command prints JSON, prints the list; damaged records are told on stderr. */
export async function listNames<Entry extends NamedEntry, Item extends WithFamily>(
  command: BaseCommand,
  kind: Kind<Entry, Item>,
  { quiet }: { readonly quiet: boolean },
): Promise<ListedNames> {
  const { records, damaged } = kind.openStore().read()
  const listed = [...(await listBuiltIn(kind)), ...records.map(listRecord)]
  if (command.jsonEnabled()) return { listed, damaged }
  if (quiet) for (const { name } of listed) command.log(name)
  else command.log(formatTable([COLUMNS, ...listed.map(row)]))
  for (const { name, reason } of damaged) {
    const remedy = `"swiftd ${kind.topic} rm ${shortModelName(name)}" removes it`
    command.logToStderr(`Note: the record of ${shortModelName(name)} is damaged (${reason}); ${remedy}.`)
  }
  return { listed, damaged }
}

const COLUMNS = ['NAME', 'ID', 'FAMILY', 'SIZE', 'DTYPE', 'MODIFIED']

function row({ name, id, family, bytes, dtype, added, missing }: ListedName): string[] {
  const modified = added === undefined ? 'comes with swiftd' : formatAge(new Date(added))
  return [name, id, family ?? '-', missing ? 'missing' : formatBytes(bytes), dtype, modified]
}

function listRecord({ name, path, kind, family, bytes, dtype, digest, added }: WithFamily): ListedName {
  const missing = !existsSync(path)
  return { name: shortModelName(name), id: idOf(digest), family, bytes, dtype, added, missing, path, kind, digest }
}

function listBuiltIn<Entry extends NamedEntry, Item extends NamedRecord>({
  builtIn,
  inspect,
}: Kind<Entry, Item>): Promise<ListedName[]> {
  const { cacheDirectory } = daemonPaths()
  return Promise.all(
    builtIn().map(async (entry) => {
      const description = inspect(entry)
      const { kind, family, bytes, dtype } = description
      const digest = await digestOf(description, cacheDirectory)
      const { name, path } = entry
      return { name, id: idOf(digest), family, bytes, dtype, missing: false, path, kind, digest }
    }),
  )
}

function idOf(digest: string): string {
  return digest.slice(0, 12)
}
