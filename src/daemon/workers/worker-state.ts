import { promptDims, type BaseModel } from '../../engine/networks/base-model.js'
import type { ControlNetReference } from '../../engine/networks/control-cache.js'
import type { ModelWork } from '../../engine/networks/graph-work.js'
import type { ModelHost } from '../../engine/networks/model-host.js'
import type { Lease } from '../../engine/networks/residency.js'
import type { NativeTensor } from '../../engine/tensor.js'
import { openCheckpoint, type Checkpoint } from '../../engine/weights/checkpoint.js'
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
  /**
   * Makes a checkpoint resident as its files are now; does nothing if it is.
   * @param job keeps it until it settles
   * @param work gets its memory
   */
  load(
    reference: ModelReference,
    options?: { readonly job?: string; readonly work?: ModelWork },
  ): Promise<{ promptDims: ReturnType<typeof promptDims> }>
  /** Forgets a checkpoint, however it was opened, unless somebody uses it. */
  unload(path: string): Promise<void>
  /** A checkpoint, made resident if it is not: it stays until the lease ends. */
  model(reference: ModelReference): Promise<Lease<BaseModel>>
  /** Runs a task with a checkpoint. */
  withModel<T>(reference: ModelReference, task: (model: BaseModel) => Promise<T>): Promise<T>
  /** What a ControlNet's files say of it, for a base model. */
  controlNetReference(path: string, base: ModelReference): ControlNetReference
  /** Keeps a lease until its job settles; one of no job ends at once. */
  hold(job: string | undefined, lease: Lease<unknown>): void
  /** Ends the leases of a job. */
  settle(job: string): void
}

export function createWorkerState(
  device: string,
  host: ModelHost,
  arena: ArenaView,
  peerDeadlineMs: number,
): WorkerState {
  // As they were opened last: a call of a job need not read its model's configuration again.
  const checkpoints = new Map<string, Checkpoint>()
  const held = new Map<string, Lease<unknown>[]>()
  const keyOf = ({ path, options }: ModelReference): string => JSON.stringify([path, options])
  const open = (reference: ModelReference): Checkpoint => {
    const checkpoint = openCheckpoint(reference.path, reference.options)
    checkpoints.set(keyOf(reference), checkpoint)
    return checkpoint
  }
  const checkpointOf = (reference: ModelReference): Checkpoint => checkpoints.get(keyOf(reference)) ?? open(reference)
  const model = (reference: ModelReference): Promise<Lease<BaseModel>> => host.acquire(checkpointOf(reference))
  const hold = (job: string | undefined, lease: Lease<unknown>): void => {
    if (job === undefined) lease.end()
    else held.set(job, [...(held.get(job) ?? []), lease])
  }
  const controlNetReference = (path: string, base: ModelReference): ControlNetReference => {
    return { path, component: openControlNetComponent(path, checkpointOf(base)) }
  }
  return {
    device,
    host,
    peerDeadlineMs,
    tensor: (handle) => ({ type: 'float32', dims: handle.dims, address: arena.addressOf(handle) }),
    async load(reference, { job, work } = {}) {
      const checkpoint = open(reference)
      // Loading may take minutes and a copy of the files.
      if (work) await host.checkFits(checkpoint, work)
      const lease = await host.acquire(checkpoint)
      try {
        if (work) await host.prepare(checkpoint, work)
        return { promptDims: promptDims(checkpoint) }
      } finally {
        hold(job, lease)
      }
    },
    async unload(path) {
      for (const [key, checkpoint] of checkpoints) if (checkpoint.path === path) checkpoints.delete(key)
      await host.unload(path)
    },
    model,
    async withModel(reference, task) {
      const lease = await model(reference)
      try {
        return await task(lease.value)
      } finally {
        lease.end()
      }
    },
    controlNetReference,
    hold,
    settle(job) {
      held.get(job)?.forEach((lease) => lease.end())
      held.delete(job)
    },
  }
}
