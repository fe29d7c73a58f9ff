import { promptDims, type BaseModel } from '../../engine/networks/base-model.js'
import type { CachedControlNet, ControlNetReference } from '../../engine/networks/control-cache.js'
import type { ModelHost } from '../../engine/networks/model-host.js'
import type { Lease } from '../../engine/networks/residency.js'
import type { NativeTensor } from '../../engine/tensor.js'
import { openCheckpoint } from '../../engine/weights/checkpoint.js'
import { openControlNetComponent } from '../../engine/weights/controlnet-file.js'
import type { ModelReference } from './passes/messages.js'
import type { ArenaView } from './tensor-arena.js'
import type { TensorHandle } from './tensor-handle.js'

/** What a worker has: its device, its runtime with everything that is resident, and the arena. */
export interface WorkerState {
  /** The device's name. */
  readonly device: string
  readonly host: ModelHost
  /** How long another worker may take for one step before it is taken for lost, in milliseconds. */
  readonly peerDeadlineMs: number
  /** Finds a tensor of the arena. */
  readonly tensor: (handle: TensorHandle) => NativeTensor
  /** Makes a checkpoint resident; does nothing if it is. */
  load(reference: ModelReference): Promise<{ promptDims: ReturnType<typeof promptDims> }>
  /** Forgets a checkpoint, however it was opened. */
  unload(path: string): Promise<void>
  /** A checkpoint that is resident. */
  modelOf(reference: ModelReference): BaseModel
  /** When a checkpoint was last asked for, in milliseconds since the epoch; 0 if never. */
  readonly lastUseOf: (path: string) => number
  /** A ControlNet, made resident if it is not. */
  controlNet(path: string, base: ModelReference): Promise<Lease<CachedControlNet>>
  /** What a ControlNet's files say of it, for a base model. */
  controlNetReference(path: string, base: ModelReference): ControlNetReference
}

export function createWorkerState(
  device: string,
  host: ModelHost,
  arena: ArenaView,
  peerDeadlineMs: number,
): WorkerState {
  const models = new Map<string, BaseModel>()
  const lastUses = new Map<string, number>()
  const keyOf = ({ path, options }: ModelReference): string => JSON.stringify([path, options])
  const controlNetReference = (path: string, { path: base, options }: ModelReference): ControlNetReference => {
    return { path, component: openControlNetComponent(path, openCheckpoint(base, options)) }
  }
  return {
    device,
    host,
    peerDeadlineMs,
    tensor: (handle) => ({ type: 'float32', dims: handle.dims, address: arena.addressOf(handle) }),
    async load(reference) {
      const model = await host.load(openCheckpoint(reference.path, reference.options))
      models.set(keyOf(reference), model)
      return { promptDims: promptDims(model.checkpoint) }
    },
    async unload(path) {
      for (const [key, { checkpoint }] of models) if (checkpoint.path === path) models.delete(key)
      await host.unload(path)
    },
    modelOf(reference) {
      const model = models.get(keyOf(reference))
      lastUses.set(reference.path, Date.now())
      if (!model) throw new Error(`The model ${reference.path} is not loaded.`)
      return model
    },
    lastUseOf: (path) => lastUses.get(path) ?? 0,
    controlNet: (path, base) => host.controlNets.acquire(controlNetReference(path, base)),
    controlNetReference,
  }
}
