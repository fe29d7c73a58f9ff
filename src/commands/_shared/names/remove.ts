import type { Kind, NamedEntry } from '../../../daemon/models/kind.js'
import type { NamedRecord } from '../../../daemon/models/record.js'
import { removeNamed, type Removed } from '../../../daemon/models/remove.js'
import type { BaseCommand } from '../base-command.js'

/** What --json prints. */
export interface RemoveResult {
  readonly removed: readonly Removed[]
}

/** Forgets names one after the other, and says so for each. */
export function removeNames<Entry extends NamedEntry, Item extends NamedRecord>(
  command: BaseCommand,
  kind: Kind<Entry, Item>,
  names: readonly string[],
): RemoveResult {
  const store = kind.openStore()
  const removed: Removed[] = []
  for (const name of names) {
    const one = removeNamed(kind, store, name)
    removed.push(one)
    if (!command.jsonEnabled()) command.log(`Removed ${one.name}${one.filesDeleted ? ' and its files' : ''}`)
  }
  return { removed }
}
