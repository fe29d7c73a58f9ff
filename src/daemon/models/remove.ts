import { sep } from 'node:path'
import { SwiftdError } from '../../engine/errors.js'
import { nearest } from '../../engine/sampling/schedulers/nearest.js'
import { removePulled, snapshotDirectory } from './hub/cache.js'
import type { Kind, NamedEntry } from './kind.js'
import { fullModelName, shortModelName } from './names.js'
import type { ModelRecord, NamedRecord, PulledFiles } from './record.js'
import type { ModelStore, Store } from './store.js'

export interface Removed {
  readonly name: string
  /** Whether files were deleted: only those that swiftd pulled, and that no other model uses. */
  readonly filesDeleted: boolean
}

/**
 * Forgets one of a kind by its exact name, so that no beginning of a name removes what was not meant. Files that were pulled
 * for a model are deleted; files that were registered where they lie never are.
 * @throws SwiftdError MODEL_NOT_FOUND; INVALID_REQUEST for what comes with swiftd
 */
export function removeNamed<Entry extends NamedEntry, Item extends NamedRecord>(
  kind: Kind<Entry, Item>,
  store: Store<Item>,
  name: string,
): Removed {
  const { records, damaged } = store.read()
  const broken = damaged.find((each) => each.name === name || each.name === `${name}:latest`)
  if (broken) {
    store.remove(broken.name)
    return { name, filesDeleted: false }
  }
  const fullName = fullModelName(name)
  const short = shortModelName(fullName)
  if (kind.builtIn().some((entry) => entry.name === short)) {
    throw new SwiftdError('INVALID_REQUEST', `The ${kind.noun} "${short}" comes with swiftd and cannot be removed.`)
  }
  const record = records.find((each) => each.name === fullName)
  if (!record) throw unknownName(kind.noun, short, records)
  store.remove(fullName)
  return { name: short, filesDeleted: kind.deleteFiles?.(record, store) ?? false }
}

/**
 * Deletes pulled files that no registered model needs any more. Where another model was pulled from the same commit, they
 * become that model's.
 * @returns whether they were deleted
 */
export function releasePulled(store: ModelStore, pulled: PulledFiles): boolean {
  const { records } = store.read()
  const heir = records.find((record) => record.pulled && isSameSnapshot(record.pulled, pulled))
  if (heir?.pulled) {
    const files = [...new Set([...heir.pulled.files, ...pulled.files])]
    store.put({ ...heir, pulled: { ...heir.pulled, files } })
    return false
  }
  const snapshot = snapshotDirectory(pulled.cacheDirectory, pulled.repository, pulled.commit)
  if (pulled.files.length === 0 || records.some((record) => uses(record, snapshot))) return false
  removePulled(pulled)
  return true
}

function isSameSnapshot(a: PulledFiles, b: PulledFiles): boolean {
  return a.repository === b.repository && a.commit === b.commit && a.cacheDirectory === b.cacheDirectory
}

function uses({ path, configuration, vae }: ModelRecord, directory: string): boolean {
  return [path, configuration, vae].some((each) => each === directory || each?.startsWith(directory + sep))
}

function unknownName(noun: string, name: string, records: readonly NamedRecord[]): SwiftdError {
  const known = nearest(
    name,
    records.map((record) => shortModelName(record.name)),
    3,
  )
  const advice = known.length === 0 ? 'none is registered' : `there are ${known.join(', ')}`
  return new SwiftdError('MODEL_NOT_FOUND', `There is no ${noun} "${name}" to remove; ${advice}.`)
}
