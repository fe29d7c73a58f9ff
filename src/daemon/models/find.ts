import { existsSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { SwiftdError } from '../../engine/errors.js'
import { nearest } from '../../engine/sampling/schedulers/nearest.js'
import { refusePickle } from '../../engine/weights/pickle.js'
import type { Kind, NamedEntry } from './kind.js'
import { fullModelName, isModelPath, matchModelName, shortModelName } from './names.js'
import type { NamedRecord } from './record.js'
import type { Store } from './store.js'

/** All of a kind that have a name: those that come with swiftd, then those that are registered. */
export function listNamed<Entry extends NamedEntry, Item extends NamedRecord>(
  { builtIn, entryOf }: Kind<Entry, Item>,
  store: Store<Item>,
): readonly Entry[] {
  return [...builtIn(), ...store.read().records.map(entryOf)]
}

/**
 * Finds one of a kind by its name, by a beginning that no other name has, or by its path, which must be absolute.
 * @throws SwiftdError MODEL_NOT_FOUND with the nearest names; UNSUPPORTED_MODEL for pickled files
 */
export function findNamed<Entry extends NamedEntry, Item extends NamedRecord>(
  kind: Kind<Entry, Item>,
  nameOrPath: string,
  store: Store<Item>,
): Entry {
  if (isModelPath(nameOrPath)) return findByPath(kind, nameOrPath)
  const entries = listNamed(kind, store)
  const fullNames = entries.map(({ name }) => fullModelName(name))
  const matches = matchModelName(nameOrPath, fullNames)
  if (matches.length === 1) return entries[fullNames.indexOf(matches[0])]
  if (matches.length > 1) {
    const names = matches.map(shortModelName).join(', ')
    throw new SwiftdError('MODEL_NOT_FOUND', `"${nameOrPath}" may be any of ${names}; give more of the name.`)
  }
  const damaged = store.read().damaged.map(({ name }) => name)
  throw unknownName(kind, nameOrPath, fullNames, matchModelName(nameOrPath, damaged)[0])
}

function findByPath<Entry>({ noun, entryAt }: Pick<Kind<Entry & NamedEntry>, 'noun' | 'entryAt'>, path: string): Entry {
  if (isAbsolute(path) && existsSync(path)) {
    refusePickle(path, noun)
    return entryAt(path)
  }
  const advice = isAbsolute(path) ? 'check the path' : 'the daemon takes absolute paths only'
  throw new SwiftdError('MODEL_NOT_FOUND', `There is no ${noun} at ${path}; ${advice}.`)
}

function unknownName(
  { topic, noun, examplePath }: Pick<Kind, 'topic' | 'noun' | 'examplePath'>,
  name: string,
  fullNames: readonly string[],
  broken: string | undefined,
): SwiftdError {
  if (broken !== undefined) {
    const short = shortModelName(broken)
    const remedy = `"swiftd ${topic} rm ${short}", then add it again`
    return new SwiftdError('MODEL_NOT_FOUND', `The record of the ${noun} "${short}" is damaged; ${remedy}.`)
  }
  const names = nearest(name, fullNames.map(shortModelName), 3).join(', ')
  const advice = `give one of the names ${names}, or a path, such as ${examplePath}`
  return new SwiftdError('MODEL_NOT_FOUND', `There is no ${noun} "${name}"; ${advice}.`)
}
