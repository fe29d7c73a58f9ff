import { openEnvironment, type EnvironmentOptions } from '../ort/environment.js'
import type { Checkpoint } from '../weights/checkpoint.js'
import { createAdapterCache, type AdapterCache } from './adapter-cache.js'
import { openBaseModel, type BaseModel } from './base-model.js'
import { createControlCache, type ControlCache } from './control-cache.js'
import { createDeviceMemory } from './device-memory.js'
import { createGraphCache, type GraphCache } from './graph-cache.js'
import type { ModelWork } from './graph-work.js'
import { createModelCache, type ModelCache, type ResidentModel } from './model-cache.js'
import type { Lease, ResidentEntry } from './residency.js'
import { createWorkspaces } from './workspaces.js'

export interface ModelHostOptions extends EnvironmentOptions {
  /** Where float32 copies of half-precision files are kept. */
  readonly cacheDirectory: string
  /** The device's name, for messages. @default 'cpu:0' */
  readonly device?: string
  /** What may be on the device at once, in bytes. @default everything */
  readonly memoryBytes?: number
  /** How much of what can be made again stays when nobody uses it, in bytes. @default what fits the memory */
  readonly budgets?: { readonly controlNets?: number; readonly adapters?: number }
  /** Told of everything that is released though it could have been used again. */
  readonly onEvicted?: (evicted: Evicted) => void
}

/** Something that was released, to be loaded again by whoever needs it next. */
export interface Evicted {
  readonly kind: 'model' | 'controlnet' | 'lora'
  /** Of a set of LoRAs the first one's. */
  readonly path: string
  readonly byteLength: number
  /** What needs its memory; absent where it was over its cache's budget. */
  readonly neededFor?: string
}

/** The account of a device's memory, in bytes. */
export interface MemoryFigures {
  readonly limitBytes: number
  /** Weights, overlays and working memory. */
  readonly usedBytes: number
  /** Of that: what sessions keep for their runs. */
  readonly workBytes: number
}

/** All that one process computes with: the runtime, one session for each architecture, and the models that are loaded. */
export interface ModelHost {
  readonly graphs: GraphCache
  readonly controlNets: ControlCache
  readonly adapters: AdapterCache
  readonly memory: MemoryFigures
  /** The models that are loaded. */
  models(): readonly ResidentEntry<ResidentModel>[]
  /**
   * Loads a checkpoint, or gives the one that is loaded: it stays until the lease ends, and afterwards as long as nothing else
   * needs its memory.
   * @throws SwiftdError INVALID_WEIGHTS if a file is damaged or does not fit its config; OUT_OF_MEMORY
   */
  acquire(checkpoint: Checkpoint): Promise<Lease<BaseModel>>
  /** Makes sure that a model has the memory for what a job asks of it. @throws SwiftdError OUT_OF_MEMORY */
  prepare(checkpoint: Checkpoint, work: ModelWork): Promise<void>
  /** Refuses work that does not fit beside its model alone, if the model is not loaded yet. @throws SwiftdError OUT_OF_MEMORY */
  checkFits(checkpoint: Checkpoint, work: ModelWork): Promise<void>
  /** The same as `acquire`, for programs with few models: it stays until `unload`. */
  load(checkpoint: Checkpoint): Promise<BaseModel>
  /** Ends what `load` began, and releases a checkpoint if nobody uses it; one that is not loaded is fine. */
  unload(path: string): Promise<void>
  /** Releases everything. */
  release(): Promise<void>
}

/** Opens the runtime for this process. Call it once: the runtime has one environment per process. */
export function openModelHost(options: ModelHostOptions): ModelHost {
  const { cacheDirectory, budgets = {}, device = 'cpu:0', memoryBytes = Infinity } = options
  const environment = openEnvironment(options)
  const graphs = createGraphCache(environment)
  const memory = createDeviceMemory(device, memoryBytes)
  const workspaces = createWorkspaces(graphs, memory)
  // Where the device is used by one at a time, it frees what was released when it comes to it.
  const afterRelease = async (): Promise<void> => {
    if (!environment.provider.concurrent) await environment.settle()
  }
  const parts = { graphs, cacheDirectory, memory, workspaces, target: () => graphs.target(), afterRelease }
  const tell = (kind: Evicted['kind'], path: string, byteLength: number, neededFor: string | undefined): void =>
    options.onEvicted?.({ kind, path, byteLength, ...(neededFor !== undefined && { neededFor }) })

  const models: ModelCache = createModelCache({
    ...parts,
    open: (checkpoint) => openBaseModel(graphs, checkpoint, { cacheDirectory }),
    beforeRelease: (model) => adapters.forget(model),
    onEvicted: ({ path, byteLength }, neededFor) => tell('model', path, byteLength, neededFor),
  })
  const controlNets = createControlCache({
    ...parts,
    budgetBytes: budgets.controlNets ?? Infinity,
    onEvicted: ({ path, byteLength }, neededFor) => tell('controlnet', path, byteLength, neededFor),
  })
  const adapters = createAdapterCache({
    ...parts,
    budgetBytes: budgets.adapters ?? Infinity,
    holdModel: (model) => models.hold(model),
    onEvicted: ({ descriptions: [{ path }], byteLength }, neededFor) => tell('lora', path, byteLength, neededFor),
  })
  return {
    graphs,
    controlNets,
    adapters,
    get memory() {
      return { limitBytes: memory.limitBytes, usedBytes: memory.usedBytes, workBytes: workspaces.byteLength }
    },
    models: () => models.entries(),
    acquire: (checkpoint) => models.acquire(checkpoint),
    checkFits: (checkpoint, work) => models.checkFits(checkpoint, work),
    prepare: (checkpoint, work) => models.prepare(checkpoint, work),
    load: (checkpoint) => models.keep(checkpoint),
    unload: (path) => models.unload(path),
    async release() {
      await models.release()
      await adapters.release()
      await controlNets.release()
      await graphs.release()
      await environment.settle()
      environment.release()
    },
  }
}
