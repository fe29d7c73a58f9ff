import { openEnvironment, type EnvironmentOptions } from '../ort/environment.js'
import type { Checkpoint } from '../weights/checkpoint.js'
import { createGraphCache, type GraphCache } from './graph-cache.js'
import { createAdapterCache, type AdapterCache } from './adapter-cache.js'
import { createControlCache, type ControlCache } from './control-cache.js'
import { openBaseModel, type BaseModel } from './base-model.js'

export interface ModelHostOptions extends EnvironmentOptions {
  /** Where float32 copies of half-precision files are kept. */
  readonly cacheDirectory: string
  /** How much of what can be made again stays when nobody uses it, in bytes. @default everything */
  readonly budgets?: { readonly controlNets?: number; readonly adapters?: number }
  /** How much of either may be in use at once, in bytes. @default everything */
  readonly memoryLimit?: number
  /** What the device has free for this process, in bytes. @default the host's memory */
  readonly memoryBytes?: number
}

/** All that one process computes with: the runtime, one session for each architecture, and the models that are loaded. */
export interface ModelHost {
  readonly graphs: GraphCache
  readonly controlNets: ControlCache
  readonly adapters: AdapterCache
  /** The models that are loaded. */
  models(): Promise<readonly BaseModel[]>
  /** Loads a checkpoint, or gives the one that is loaded. */
  load(checkpoint: Checkpoint): Promise<BaseModel>
  /** Unbinds and unmaps a checkpoint; one that is not loaded is fine. */
  unload(path: string): Promise<void>
  /** Releases everything. */
  release(): Promise<void>
}

/** Opens the runtime for this process. Call it once: the runtime has one environment per process. */
export function openModelHost(options: ModelHostOptions): ModelHost {
  const environment = openEnvironment(options)
  const graphs = createGraphCache(environment)
  const { controlNets: controlBytes = Infinity, adapters: adapterBytes = Infinity } = options.budgets ?? {}
  const limit = options.memoryLimit !== undefined && { limitBytes: options.memoryLimit }
  const controlNets = createControlCache(graphs, options.cacheDirectory, { budgetBytes: controlBytes, ...limit })
  const adapters = createAdapterCache(graphs, { budgetBytes: adapterBytes, ...limit })
  const models = new Map<string, Promise<BaseModel>>()
  // One path can be opened in several ways: with a variant, a configuration or an autoencoder of another place.
  const keyOf = ({ path, textEncoders, unet, vae }: Checkpoint): string => {
    const parts = [...textEncoders, unet, vae].map(({ weightsPath, config }) => [weightsPath, config])
    return `${path} ${JSON.stringify(parts)}`
  }

  const unload = async (key: string): Promise<void> => {
    const loading = models.get(key)
    models.delete(key)
    const model = await loading?.catch(() => undefined)
    if (!model) return
    await model.idle()
    await adapters.forget(model)
    model.release()
  }
  return {
    graphs,
    controlNets,
    adapters,
    async models() {
      const loaded = await Promise.allSettled(models.values())
      return loaded.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    },
    load(checkpoint) {
      const key = keyOf(checkpoint)
      const known = models.get(key)
      if (known) return known
      const loading = openBaseModel(graphs, checkpoint, { cacheDirectory: options.cacheDirectory })
      models.set(key, loading)
      loading.catch(() => models.delete(key))
      return loading
    },
    async unload(path) {
      await Promise.all([...models.keys()].filter((key) => key.startsWith(`${path} `)).map(unload))
    },
    async release() {
      await Promise.all([...models.keys()].map(unload))
      await controlNets.release()
      await graphs.release()
      await environment.settle()
      environment.release()
    },
  }
}
