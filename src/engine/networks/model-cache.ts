import type { Checkpoint } from '../weights/checkpoint.js'
import type { BaseModel } from './base-model.js'
import { DEFAULT_ADVICE, EVICTION_RANKS, type DeviceMemory, type Need } from './device-memory.js'
import { modelGraphs, modelWork, type ModelWork } from './graph-work.js'
import { couldBeMixed, type DeviceTarget } from './network-target.js'
import { createResidency, type Lease, type Resident, type ResidentEntry } from './residency.js'
import { checkpointBytes } from './weight-bytes.js'
import type { Workspaces } from './workspaces.js'

/** A base model that is loaded. */
export interface ResidentModel extends Resident {
  readonly path: string
  readonly model: BaseModel
}

/** The base models of one device: each stays while somebody uses it, and then until something else needs its memory. */
export interface ModelCache {
  acquire(checkpoint: Checkpoint): Promise<Lease<BaseModel>>
  /** Refuses work that does not fit beside its model alone, if the model is not loaded yet. @throws SwiftdError OUT_OF_MEMORY */
  checkFits(checkpoint: Checkpoint, work: ModelWork): Promise<void>
  prepare(checkpoint: Checkpoint, work: ModelWork): Promise<void>
  /** Loads a checkpoint and keeps it until `unload`. */
  keep(checkpoint: Checkpoint): Promise<BaseModel>
  /** One more use of a model that is loaded. @returns what ends it */
  hold(model: BaseModel): () => void
  /** Ends what `keep` began, and releases what nobody uses of a path, however it was opened. */
  unload(path: string): Promise<void>
  release(): Promise<void>
  entries(): readonly ResidentEntry<ResidentModel>[]
}

export interface ModelCacheOptions {
  readonly memory: DeviceMemory
  readonly workspaces: Workspaces
  /** What graphs are built for, once the device has been asked. */
  readonly target: () => Promise<DeviceTarget>
  readonly open: (checkpoint: Checkpoint) => Promise<BaseModel>
  /** Releases what was made of a model. */
  readonly beforeRelease: (model: BaseModel) => Promise<void>
  /** Settles when the device has its memory back. */
  readonly afterRelease: () => Promise<void>
  readonly onEvicted: (model: ResidentModel, neededFor: string | undefined) => void
}

export function createModelCache(options: ModelCacheOptions): ModelCache {
  const { memory, workspaces, target, onEvicted } = options
  const residency = createResidency<ResidentModel>({
    memory: { account: memory, rank: EVICTION_RANKS.model },
    onEvicted,
  })
  const kept = new Map<string, Lease<BaseModel>>()

  async function acquire(checkpoint: Checkpoint): Promise<Lease<BaseModel>> {
    const key = keyOf(checkpoint)
    const name = `The model ${checkpoint.path}`
    const need = async () => {
      const device = await target()
      const advice = (): string => `${DEFAULT_ADVICE}${mixedAdvice(checkpoint, device)}`
      return { byteLength: checkpointBytes(checkpoint, device), name, advice }
    }
    const open = (): Promise<ResidentModel> => load(options, checkpoint, () => residency.isHeld(key))
    const lease = await residency.acquire(key, open, need)
    return { value: lease.value.model, end: () => lease.end() }
  }

  return {
    acquire,
    async checkFits(checkpoint, work) {
      if (residency.has(keyOf(checkpoint))) return
      const device = await target()
      const byteLength = modelWork(checkpoint, work, device).reduce((sum, each) => sum + each.byteLength, 0)
      const need = { ...workNeed(checkpoint, work, device), byteLength }
      memory.checkFits(need, checkpointBytes(checkpoint, device))
    },
    async prepare(checkpoint, work) {
      const device = await target()
      await workspaces.prepare(modelWork(checkpoint, work, device), workNeed(checkpoint, work, device))
    },
    async keep(checkpoint) {
      const key = keyOf(checkpoint)
      const lease = await acquire(checkpoint)
      if (kept.has(key)) lease.end()
      else kept.set(key, lease)
      return lease.value
    },
    hold: ({ checkpoint }) => residency.hold(keyOf(checkpoint)),
    async unload(path) {
      for (const [key, lease] of kept) {
        if (lease.value.checkpoint.path !== path) continue
        kept.delete(key)
        lease.end()
      }
      await residency.drop((key) => key.startsWith(`${path} `) && !residency.isHeld(key))
    },
    release: () => residency.close(),
    entries: () => residency.entries,
  }
}

async function load(
  { workspaces, target, open, beforeRelease, afterRelease }: ModelCacheOptions,
  checkpoint: Checkpoint,
  isHeld: () => boolean,
): Promise<ResidentModel> {
  const device = await target()
  const unbind = workspaces.bind(modelGraphs(checkpoint, device), isHeld)
  try {
    const model = await open(checkpoint)
    return {
      path: checkpoint.path,
      model,
      byteLength: checkpointBytes(checkpoint, device),
      async release() {
        await model.idle()
        await beforeRelease(model)
        model.release()
        await afterRelease()
        unbind()
      },
    }
  } catch (error) {
    unbind()
    throw error
  }
}

/** What a job's work is called where it does not fit, and what would make it less. */
function workNeed(
  checkpoint: Checkpoint,
  { pass, decode, encode }: ModelWork,
  device: DeviceTarget,
): Omit<Need, 'byteLength'> {
  const { path, vaeScale } = checkpoint
  const [rows, , height, width] = pass ?? decode ?? [1, 0, 0, 0]
  const [high, wide] = encode ? encode.slice(2) : [height * vaeScale, width * vaeScale]
  const batch = rows > 1 ? ` in a batch of ${rows}` : ''
  const name = `Computing ${wide}x${high} pixels${batch} with the model ${path}`
  const advice = 'make the image smaller, or fewer at once, or decode it in tiles (--vae-tiling on)'
  return { name, advice: () => `${advice}${mixedAdvice(checkpoint, device)}` }
}

/** What would halve the model's weights, where something would. */
function mixedAdvice({ unet }: Checkpoint, device: DeviceTarget): string {
  if (!couldBeMixed(device, unet, 'unet')) return ''
  return ', or keep its weights in float16, as its files have them ("swiftd config set precision mixed")'
}

const keys = new WeakMap<Checkpoint, string>()

/** One path can be opened in several ways: with a variant, a configuration or an autoencoder of another place. */
function keyOf(checkpoint: Checkpoint): string {
  const { path, textEncoders, unet, vae } = checkpoint
  const parts = [...textEncoders, unet, vae].map(({ weightsPath, config }) => [weightsPath, config])
  const key = keys.get(checkpoint) ?? `${path} ${JSON.stringify(parts)}`
  keys.set(checkpoint, key)
  return key
}
