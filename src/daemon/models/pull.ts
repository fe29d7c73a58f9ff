import { join } from 'node:path'
import { isSwiftdError, SwiftdError } from '../../engine/errors.js'
import { parseHubAddress, DEFAULT_REVISION, type HubAddress } from './hub/address.js'
import { isCommit } from './hub/cache.js'
import type { CheckpointOptions } from '../../engine/weights/checkpoint.js'
import { pullModel, type PulledModel, type PullProgress } from './hub/pull.js'
import type { HubSettings } from './hub/settings.js'
import { fullModelName, nameFromPath } from './names.js'
import type { ModelRecord, PulledFiles } from './record.js'
import { checkNameIsFree, checkOptions, registerModel, type RegisteredModel } from './register.js'
import { MODELS } from './registry.js'
import { releasePulled } from './remove.js'
import type { ModelStore } from './store.js'

export interface PullRequest extends CheckpointOptions {
  /** As `parseHubAddress` reads it. */
  readonly address: string
  /** @default the repository's or the file's name, tagged with the revision if one is given */
  readonly name?: string
}

export interface PullContext {
  readonly store: ModelStore
  readonly cacheDirectory: string
  readonly settings: HubSettings
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: PullProgress) => void
}

export interface PullResult extends RegisteredModel {
  /** Files that had to be downloaded; none if all were there. */
  readonly downloaded: readonly string[]
}

/**
 * Downloads a model from the hub and registers it. Pulling a registered model again brings it up to date.
 * @throws SwiftdError as `pullModel` and `registerModel`; what was downloaded stays for another attempt
 */
export async function pullAndRegister(
  { address: place, name: wanted, ...options }: PullRequest,
  context: PullContext,
): Promise<PullResult> {
  const address = parseHubAddress(place)
  const name = fullModelName(wanted ?? nameFor(address))
  checkOptions(address.file === undefined ? 'folder' : 'file', options)
  const { store, settings, cacheDirectory } = context
  const isSame = ({ pulled }: ModelRecord): boolean => pulled?.repository === address.repository
  checkNameIsFree(MODELS, store, name, isSame)
  const earlier = store.read().records.find((record) => record.name === name)?.pulled
  const model = await pullModel(address, { ...context, variant: options.variant })
  const pulled = ownedFiles(address, model, context, earlier)
  const registration = { path: model.path, name, pulled, ...options }
  try {
    const registered = await registerModel(registration, { store, cacheDirectory, knownHashes: model.hashes })
    if (earlier && earlier.commit !== pulled.commit) releasePulled(store, earlier)
    return { ...registered, downloaded: model.downloaded }
  } catch (error) {
    if (!isSwiftdError(error) || settings.offline) throw error
    throw new SwiftdError(error.code, `${error.message} Its files are kept at ${model.path}.`, { cause: error })
  }
}

/** What `model rm` may delete: everything in swiftd's own cache, and of a shared one what swiftd put there. */
function ownedFiles(
  { repository }: HubAddress,
  { commit, files, downloaded }: PulledModel,
  { store, settings }: PullContext,
  earlier: PulledFiles | undefined,
): PulledFiles {
  const { cacheDirectory } = settings
  const isOwn = cacheDirectory === join(store.directory, 'hub')
  const before = earlier?.commit === commit && earlier.cacheDirectory === cacheDirectory ? earlier.files : []
  return { repository, commit, cacheDirectory, files: [...new Set([...before, ...(isOwn ? files : downloaded)])] }
}

function nameFor({ repository, revision, file }: HubAddress): string {
  const base = nameFromPath(file ?? repository)
  if (revision === DEFAULT_REVISION) return base
  return `${base}:${isCommit(revision) ? revision.slice(0, 12) : nameFromPath(revision)}`
}
