import { isSwiftdError, SwiftdError } from '../../engine/errors.js'
import type { Stages, Timing } from '../../engine/pipeline/stages.js'
import { createScheduler } from '../../engine/sampling/schedulers/index.js'
import type { Checkpoint, CheckpointOptions } from '../../engine/weights/checkpoint.js'
import { createDeferred } from '../deferred.js'
import type { DeviceWorker } from './device-worker.js'
import { conditioningHandles, handleOf, rowsOfValues, writePlan } from './denoise-message.js'
import type { DenoiseProgress, Method, Parameters, Result } from './messages.js'
import type { ArenaTensor, TensorArena } from './tensor-arena.js'
import type { WorkerProcess } from './worker-process.js'

export interface RemoteStagesOptions {
  readonly device: DeviceWorker
  readonly arena: TensorArena
  readonly checkpoint: Pick<Checkpoint, 'path' | 'vaeScale' | 'vae'>
  /** How the worker opens it. */
  readonly modelOptions?: CheckpointOptions
  /** Cancels what runs. */
  readonly signal: AbortSignal
  /** Called when the worker died and the request will be sent to the next one. */
  readonly onRestart: (reason: string) => void
}

/** The stages of one job on one device. */
export interface RemoteStages extends Stages {
  /** Time inside the runtime's own runs so far, in milliseconds. */
  readonly runtimeMs: number
  /** Makes the checkpoint resident. The other verbs do it themselves; this one tells how long it took. */
  load(): Promise<void>
  /** Waits until no worker uses a tensor of the job any more and releases what is left of them. */
  close(): Promise<void>
}

/** A job goes on after this many deaths of its worker; one that dies more often dies of the job. */
const MAX_RESTARTS = 3

/** Longest plausible times, on slow machines too; a worker that takes longer hangs and is replaced. */
const DEADLINES_MS: Readonly<Record<Method, number>> = {
  load: 15 * 60_000,
  unload: 60_000,
  encodePrompt: 10 * 60_000,
  predictNoise: 30 * 60_000,
  // From step to step.
  denoise: 30 * 60_000,
  decodeLatents: 30 * 60_000,
  encodeImage: 30 * 60_000,
}

/**
 * Stages that call a device's worker; tensors lie in the arena and belong to the daemon, so a worker's death loses
 * nothing but the request in flight. That one is sent again to the replacement: whoever uses the stages does not notice.
 */
export function createRemoteStages({
  device,
  arena,
  checkpoint,
  modelOptions,
  signal,
  onRestart,
}: RemoteStagesOptions): RemoteStages {
  const model = { path: checkpoint.path, options: modelOptions }
  const tensors = new Set<ArenaTensor>()
  const inFlight = new Set<Promise<unknown>>()
  let loadedBy: WorkerProcess | undefined
  let promptDims: Result<'load'>['promptDims'] | undefined
  let restarts = 0
  let runtimeMs = 0

  async function load(worker: WorkerProcess): Promise<void> {
    if (loadedBy === worker) return
    const result = await worker.request('load', { model }, { signal, deadlineMs: DEADLINES_MS.load })
    promptDims = result.promptDims
    loadedBy = worker
  }

  /** Runs a task with the device's worker, and again with the next one if the worker dies meanwhile. */
  async function withWorker<T>(task: (worker: WorkerProcess) => Promise<T>): Promise<T> {
    for (;;) {
      const worker = await unlessAborted(device.ready(), signal)
      try {
        await load(worker)
        return await task(worker)
      } catch (error) {
        if (!isSwiftdError(error) || error.code !== 'WORKER_LOST' || signal.aborted) throw error
        if (++restarts > MAX_RESTARTS) throw gaveUp(error)
        onRestart(error.message)
      }
    }
  }

  function gaveUp(error: SwiftdError): SwiftdError {
    const name = device.device.name
    const sentence = `The worker of ${name} died ${restarts} times during this job, the job was given up: ${error.message}`
    return new SwiftdError('WORKER_LOST', sentence, { cause: error })
  }

  /** One request; `close` waits for it, because until its answer the worker may write to its tensors. */
  async function ask<M extends Exclude<Method, 'load' | 'unload'>>(
    method: M,
    parameters: () => Parameters<M>,
    onProgress?: (progress: DenoiseProgress) => void,
  ): Promise<Result<M>> {
    const options = { signal, deadlineMs: DEADLINES_MS[method], ...(onProgress && { onProgress }) }
    const call = withWorker((worker) => worker.request(method, parameters(), options))
    inFlight.add(call)
    try {
      return await call
    } finally {
      inFlight.delete(call)
    }
  }

  async function run<M extends Exclude<Method, 'load' | 'unload' | 'denoise'>>(
    method: M,
    parameters: Parameters<M>,
  ): Promise<Timing> {
    const timing: Timing = await ask(method, () => parameters)
    runtimeMs += timing.runtimeMs
    return timing
  }

  function allocate(dims: readonly number[]): ArenaTensor {
    const tensor = arena.allocate(dims)
    const tracked = {
      ...tensor,
      release() {
        tensors.delete(tracked)
        tensor.release()
      },
    }
    tensors.add(tracked)
    return tracked
  }

  return {
    get runtimeMs() {
      return runtimeMs
    },
    load: () => withWorker(() => Promise.resolve()),
    allocate,
    async encodePrompt(tokens, clipSkip) {
      if (!promptDims) await withWorker(() => Promise.resolve())
      if (!promptDims) throw new Error('The worker loaded a checkpoint without telling its dims.')
      const hiddenStates = allocate(promptDims.hiddenStates)
      const pooled = promptDims.pooled && allocate(promptDims.pooled)
      const handles = { hiddenStates: hiddenStates.handle, pooled: pooled?.handle }
      await run('encodePrompt', { model, tokens: tokens.map((ids) => [...ids]), clipSkip, ...handles })
      return { hiddenStates, ...(pooled && { pooled }) }
    },
    predictNoise: (sample, timestep, conditioning, out) =>
      run('predictNoise', {
        model,
        sample: handleOf(sample),
        timestep,
        conditioning: conditioningHandles(conditioning),
        out: handleOf(out),
      }),
    async denoise(plan, { onStep }) {
      const calls = createScheduler(plan.scheduler, plan.numInferenceSteps).timesteps.length - plan.start.index
      const message = writePlan(plan, (values, dims) => {
        const shared = allocate(dims)
        shared.data.set(values)
        return shared.handle
      })
      const predictions = allocate([calls, ...plan.dims])
      const latents = allocate([calls, ...plan.dims])
      const [predictionAt, latentsAt] = [predictions, latents].map(({ data }) => rowsOfValues(data, calls))
      let finished = 0
      await ask(
        'denoise',
        () => ({ model, plan: message, predictions: predictions.handle, finished, latents: latents.handle }),
        ({ index, sigma, ...step }) => {
          finished = index + 1
          runtimeMs += step.runtimeMs
          const tensors = { latents: latentsAt(index), modelOutput: predictionAt(index) }
          void onStep?.({ index, sigma: sigma ?? NaN, ...step, ...tensors })
        },
      )
      return latentsAt(calls - 1).slice()
    },
    async decodeLatents(latents) {
      const [count, , height, width] = latents.dims
      const out = allocate([count, 3, height * checkpoint.vaeScale, width * checkpoint.vaeScale])
      await run('decodeLatents', { model, latents: handleOf(latents), out: out.handle })
      return out
    },
    async encodeImage(image) {
      const [count, , height, width] = image.dims
      const depth = 2 * checkpoint.vae.config.latent_channels
      const out = allocate([count, depth, height / checkpoint.vaeScale, width / checkpoint.vaeScale])
      await run('encodeImage', { model, image: handleOf(image), out: out.handle })
      return out
    },
    async close() {
      await Promise.allSettled(inFlight)
      for (const tensor of [...tensors]) tensor.release()
    },
  }
}

/** The promise, or CANCELLED as soon as the job is. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = createDeferred<never>()
  const abort = (): void => aborted.reject(new SwiftdError('CANCELLED', 'The job was cancelled.'))
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
