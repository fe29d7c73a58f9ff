import { SwiftdError } from '../../engine/errors.js'
import type { CheckpointOptions } from '../../engine/weights/checkpoint.js'
import type { AdapterKind } from './adapters.js'
import { digestOf } from './digest.js'
import { inspectModel, type ModelDescription } from './inspect.js'
import type { Description, Kind, NamedEntry } from './kind.js'
import { fullModelName, nameFromPath, shortModelName } from './names.js'
import type { AdapterRecord, ModelRecord, NamedRecord, PulledFiles } from './record.js'
import { MODELS } from './registry.js'
import type { Store } from './store.js'

/** What gets a name. */
export interface Registration {
  /** Absolute path of a folder or file. */
  readonly path: string
  /** @default what the file or folder is called */
  readonly name?: string
}

export interface ModelRegistration extends Registration, CheckpointOptions {
  /** Where it came from, if it was pulled. */
  readonly pulled?: PulledFiles
}

export interface RegisterContext<Item extends NamedRecord> {
  readonly store: Store<Item>
  /** Where the hashes of files are remembered. */
  readonly cacheDirectory: string
  /** Hashes of files that need not be read. */
  readonly knownHashes?: ReadonlyMap<string, string>
}

export interface Registered<Item extends NamedRecord, About extends Description = Description> {
  readonly record: Item
  readonly description: About
}

export type RegisteredModel = Registered<ModelRecord, ModelDescription>

/**
 * Opens a model to see that it is one, and gives it a name. The same name for the same path renews the record.
 * @throws SwiftdError INVALID_REQUEST if the name is impossible or another model's; whatever opening the model throws
 */
export async function registerModel(
  { path, name, pulled, ...options }: ModelRegistration,
  context: RegisterContext<ModelRecord>,
): Promise<RegisteredModel> {
  const { store } = context
  const fullName = fullModelName(name ?? nameFromPath(path))
  if (!pulled) checkNameIsFree(MODELS, store, fullName, (record) => record.path === path)
  // A pulled model that is added by its path again is still a pulled one.
  const origin = pulled ?? store.read().records.find((each) => each.name === fullName)?.pulled
  const description = inspectModel(path, options)
  checkOptions(description.kind, options)
  const record: ModelRecord = {
    ...(await describeRecord(fullName, path, description, context)),
    family: description.family,
    ...options,
    ...(origin && { pulled: origin }),
  }
  store.put(record)
  return { record, description }
}

/**
 * Opens a LoRA or ControlNet to see that it is one, and gives it a name, as `registerModel` does.
 * @throws SwiftdError INVALID_REQUEST if the name is impossible or another's; whatever opening it throws
 */
export async function registerAdapter(
  kind: AdapterKind,
  { path, name }: Registration,
  context: RegisterContext<AdapterRecord>,
): Promise<Registered<AdapterRecord>> {
  const fullName = fullModelName(name ?? nameFromPath(path))
  checkNameIsFree(kind, context.store, fullName, (record) => record.path === path)
  const description = kind.inspect({ name: path, path })
  const { family } = description
  const record = { ...(await describeRecord(fullName, path, description, context)), ...(family && { family }) }
  context.store.put(record)
  return { record, description }
}

/** What records of all kinds say. Reads the whole of the weights, unless their hashes are known. */
async function describeRecord<Item extends NamedRecord>(
  name: string,
  path: string,
  description: Description,
  { cacheDirectory, knownHashes }: RegisterContext<Item>,
): Promise<NamedRecord> {
  const { kind, bytes, dtype } = description
  const digest = await digestOf(description, cacheDirectory, knownHashes)
  return { name, path, kind, added: new Date().toISOString(), digest, bytes, dtype }
}

/**
 * Refuses names that belong to another of the kind: nobody should lose a registration by a name that came from a file.
 * @param fullName `name:tag`
 * @param isSame tells whether the record of that name is the one that is registered again
 * @throws SwiftdError INVALID_REQUEST
 */
export function checkNameIsFree<Entry extends NamedEntry, Item extends NamedRecord>(
  { topic, noun, builtIn }: Kind<Entry, Item>,
  store: Store<Item>,
  fullName: string,
  isSame: (record: Item) => boolean,
): void {
  const short = shortModelName(fullName)
  const refuse = (owner: string): never => {
    const remedy = `choose another with --name`
    throw new SwiftdError('INVALID_REQUEST', `The name "${short}" belongs to ${owner}; ${remedy}.`)
  }
  if (builtIn().some(({ name }) => fullModelName(name) === fullName)) refuse(`the ${noun} that comes with swiftd`)
  const taken = store.read().records.find((record) => record.name === fullName)
  if (taken && !isSame(taken)) refuse(`the ${noun} at ${taken.path} ("swiftd ${topic} rm ${short}" would free it)`)
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
