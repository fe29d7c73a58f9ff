import { SwiftdError } from '../../engine/errors.js'
import type { CheckpointOptions } from '../../engine/weights/checkpoint.js'
import { builtInModels } from './built-in.js'
import { digestModel } from './digest.js'
import { inspectModel, type ModelDescription } from './inspect.js'
import { fullModelName, nameFromPath, shortModelName } from './names.js'
import type { ModelRecord, PulledFiles } from './record.js'
import type { ModelStore } from './store.js'

export interface Registration extends CheckpointOptions {
  /** Absolute path of a folder or file. */
  readonly path: string
  /** @default what the file or folder is called */
  readonly name?: string
  /** Where it came from, if it was pulled. */
  readonly pulled?: PulledFiles
}

export interface RegisterContext {
  readonly store: ModelStore
  /** Where the hashes of files are remembered. */
  readonly cacheDirectory: string
  /** Hashes of files that need not be read. */
  readonly knownHashes?: ReadonlyMap<string, string>
}

export interface RegisteredModel {
  readonly record: ModelRecord
  readonly description: ModelDescription
}

/**
 * Opens a model to see that it is one, and gives it a name. The same name for the same path renews the record.
 * @throws SwiftdError INVALID_REQUEST if the name is impossible or another model's; whatever opening the model throws
 */
export async function registerModel(
  { path, name, pulled, ...options }: Registration,
  { store, cacheDirectory, knownHashes }: RegisterContext,
): Promise<RegisteredModel> {
  const fullName = fullModelName(name ?? nameFromPath(path))
  if (!pulled) checkNameIsFree(store, fullName, (record) => record.path === path)
  // A pulled model that is added by its path again is still a pulled one.
  const origin = pulled ?? store.read().records.find((each) => each.name === fullName)?.pulled
  const description = inspectModel(path, options)
  checkOptions(description.kind, options)
  const record: ModelRecord = {
    name: fullName,
    path,
    kind: description.kind,
    family: description.family,
    ...options,
    added: new Date().toISOString(),
    digest: await digestModel(description, cacheDirectory, knownHashes),
    bytes: description.bytes,
    dtype: description.dtype,
    ...(origin && { pulled: origin }),
  }
  store.put(record)
  return { record, description }
}

/**
 * Refuses names that belong to another model: nobody should lose a registration by a name that came from a file.
 * @param fullName `name:tag`
 * @param isSame tells whether the model of that name is the one that is registered again
 * @throws SwiftdError INVALID_REQUEST
 */
export function checkNameIsFree(store: ModelStore, fullName: string, isSame: (record: ModelRecord) => boolean): void {
  const short = shortModelName(fullName)
  const refuse = (owner: string): never => {
    const remedy = `choose another with --name`
    throw new SwiftdError('INVALID_REQUEST', `The name "${short}" belongs to ${owner}; ${remedy}.`)
  }
  if (builtInModels().some(({ name }) => fullModelName(name) === fullName)) refuse('the model that comes with swiftd')
  const taken = store.read().records.find((record) => record.name === fullName)
  if (taken && !isSame(taken)) refuse(`the model at ${taken.path} ("swiftd model rm ${short}" would free it)`)
}

/**
 * Refuses settings that mean nothing for a kind of model.
 * @throws SwiftdError INVALID_REQUEST
 */
export function checkOptions(kind: ModelRecord['kind'], { configuration, variant }: CheckpointOptions): void {
  if (kind === 'folder' && configuration !== undefined) {
    throw new SwiftdError('INVALID_REQUEST', '--config is for single files; this folder has its own configuration.')
  }
  if (kind === 'file' && variant !== undefined) {
    throw new SwiftdError('INVALID_REQUEST', `--variant is for folders; this file has only one kind of weights.`)
  }
}
