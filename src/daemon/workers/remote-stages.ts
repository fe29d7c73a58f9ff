import { fromRgbImages, type RgbImage } from '../../engine/image/pixels.js'
import type { Stages } from '../../engine/pipeline/stages.js'
import type { Checkpoint, CheckpointOptions } from '../../engine/weights/checkpoint.js'
import type { Placement } from '../placement/placement.js'
import type { DeviceStatus } from '../protocol/status.js'
import { isWorkerLost, type CrewMember } from './crew.js'
import { deadlineOf } from './deadlines.js'
import { handleOf, type RemoteAdapters, type RemoteControl } from './denoise-message.js'
import { isGpu } from './devices.js'
import { createJobCrew, type JobWork, type Prepared } from './job-crew.js'
import type { Parameters, Result } from './messages.js'
import { createRecovery } from './recovery.js'
import { createRemoteDenoise, type AdaptersApplied } from './remote-denoise.js'
import type { ArenaTensor, TensorArena } from './tensor-arena.js'
import type { WorkerProcess } from './worker-process.js'

/** A ControlNet of a job. */
export interface JobControl {
  /** Its folder or file. */
  readonly path: string
  /** What it follows, of the job's size. */
  readonly picture: RgbImage
  /** Tells the picture's content from others. */
  readonly pictureKey: string
}

export interface RemoteStagesOptions {
  /** The job's id. */
  readonly job: string
  /** The shapes of its largest calls, which the devices make room for before anything runs. */
  readonly work: JobWork
  readonly placement: Placement
  readonly arena: TensorArena
  readonly checkpoint: Checkpoint
  /** How the workers open it. */
  readonly modelOptions?: CheckpointOptions
  readonly adapters?: {
    readonly uses: Parameters<'prepareAdapters'>['adapters']
    /** Whether they change the text encoders, so that prompts have to wait for them. */
    readonly inText: boolean
  }
  readonly controls?: readonly JobControl[]
  /** Cancels what runs. */
  readonly signal: AbortSignal
  /** Told when a worker died whose work its replacement goes on with. */
  readonly onRestart: (device: string, reason: string) => void
  /** Told when the job goes on in another way than it was asked for. */
  readonly onNote: (sentence: string) => void
  /** Told when LoRAs are ready, and when they take effect. */
  readonly onAdapters?: (applied: AdaptersApplied) => void
  /** Told what a ControlNet or LoRAs cost before a worker had them. */
  readonly onPrepared?: (prepared: Prepared) => void
}

/** The stages of one job on its devices. */
export interface RemoteStages extends Stages {
  /** Time inside the runtime's own runs so far on the base device, in milliseconds. */
  readonly runtimeMs: number
  /** What the request of the engine names the job's LoRAs and ControlNets by. */
  readonly adapters?: RemoteAdapters
  readonly controls: readonly RemoteControl[]
  /**
   * Makes the checkpoint resident. The other verbs do it themselves; this one tells how long it took. LoRAs, ControlNets and
   * the second device begin to load beside it.
   */
  load(): Promise<void>
  /** Waits until no worker uses a tensor of the job any more and releases what is left of them. */
  close(): Promise<void>
}

/**
 * Stages that call the workers of a job's devices; tensors lie in the arena and belong to the daemon, so a worker's death
 * loses nothing but the request in flight. That one is sent again to the replacement: whoever uses the stages does not notice.
 */
export function createRemoteStages(options: RemoteStagesOptions): RemoteStages {
  const { job, work, placement, arena, checkpoint, modelOptions, controls = [], signal } = options
  const { uses, inText = false } = options.adapters ?? {}
  const model = { path: checkpoint.path, ...(modelOptions && { options: modelOptions }) }
  const tensors = new Set<ArenaTensor>()
  const inFlight = new Set<Promise<unknown>>()
  const recovery = createRecovery(options)
  let promptDims: Result<'load'>['promptDims'] | undefined
  let runtimeMs = 0

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

  const remoteControls = controls.map(({ path, picture, pictureKey }, index): RemoteControl => {
    const { data, dims } = fromRgbImages([picture], 'unit')
    const shared = allocate(dims)
    shared.data.set(data)
    return { key: String(index), path, base: model, picture: shared.handle, pictureKey }
  })
  const crew = createJobCrew({
    ...{ job, work, placement, model, controls: remoteControls, signal },
    ...(uses && { adapters: uses }),
    onLoaded: (loaded) => (promptDims = loaded.promptDims),
    ...(options.onPrepared && { onPrepared: options.onPrepared }),
  })
  const { base } = crew
  /** Runs the text encoders and the autoencoder; the base device where its own has failed for good. */
  let text = crew.text ?? base

  /** `close` waits for it, because until a request is answered the worker may write to the job's tensors. */
  async function tracked<T>(call: Promise<T>): Promise<T> {
    inFlight.add(call)
    try {
      return await call
    } finally {
      inFlight.delete(call)
    }
  }

  /** Runs a task with a device's worker, and again with the next one if the worker dies meanwhile. */
  async function withMember<T>(member: CrewMember, task: (worker: WorkerProcess) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await task(await member.ready())
      } catch (error) {
        if (!isWorkerLost(error) || signal.aborted) throw error
        const { device, status } = member.device
        if (member !== base && status.state === 'failed') throw error
        recovery.lost(device.name, error)
      }
    }
  }

  /** The same with the device of the text encoders and the autoencoder. */
  async function withText<T>(task: (worker: WorkerProcess) => Promise<T>): Promise<T> {
    try {
      return await withMember(text, task)
    } catch (error) {
      if (text === base || !isWorkerLost(error) || text.device.status.state !== 'failed') throw error
      recovery.note(`${base.device.device.name} runs the text encoders and the autoencoder, too: ${error.message}`)
      text = base
      return withMember(text, task)
    }
  }

  async function run<M extends 'encodePrompt' | 'decodeLatents' | 'encodeImage'>(
    method: M,
    parameters: Parameters<M>,
  ): Promise<void> {
    const ask = { signal, deadlineMs: deadlineOf(method) }
    const timing = await tracked(withText((worker) => worker.request(method, parameters, ask)))
    runtimeMs += timing.runtimeMs
  }

  const adapters = uses && { key: JSON.stringify(uses), uses }
  return {
    get runtimeMs() {
      return runtimeMs
    },
    get halfPrecision() {
      // A CPU rounds no weights of files: in mixed precision it reads what is float16 already.
      const rounds = ({ name, precision = 'float32' }: DeviceStatus) => isGpu(name) && precision !== 'float32'
      return [base, ...crew.others].some(({ device }) => rounds(device.status))
    },
    ...(adapters && { adapters }),
    controls: remoteControls,
    async load() {
      // Whatever fails of these fails again where it is waited for.
      for (const member of crew.others) void tracked(member.ready()).catch(() => undefined)
      await withMember(base, () => Promise.resolve())
      void tracked(crew.beginAdapters()).catch(() => undefined)
    },
    allocate,
    async encodePrompt(tokens, clipSkip, adapted) {
      if (!promptDims) await withMember(base, () => Promise.resolve())
      if (!promptDims) throw new Error('The worker loaded a checkpoint without telling its dims.')
      const hiddenStates = allocate(promptDims.hiddenStates)
      const pooled = promptDims.pooled && allocate(promptDims.pooled)
      const out = { hiddenStates: hiddenStates.handle, ...(pooled && { pooled: pooled.handle }) }
      const withAdapters = adapted && inText && { adapters: (adapted as RemoteAdapters).uses }
      await run('encodePrompt', { model, tokens: tokens.map((ids) => [...ids]), clipSkip, ...withAdapters, ...out })
      return { hiddenStates, ...(pooled && { pooled }) }
    },
    denoise: (plan, denoiseOptions) =>
      tracked(
        createRemoteDenoise({
          ...{ model, checkpoint, crew, recovery, allocate, signal, deadlineMs: deadlineOf('denoise') },
          ...(options.onAdapters && { onAdapters: options.onAdapters }),
          onRuntime: (elapsed) => (runtimeMs += elapsed),
        })(plan, denoiseOptions),
      ),
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
      await settle(job, [base, ...crew.others])
      for (const tensor of [...tensors]) tensor.release()
    },
  }
}

/**
 * Waits until the workers have stopped all work whose asker is gone, and have let go of what they kept for the job; a worker
 * that is gone itself has.
 */
async function settle(job: string, members: readonly CrewMember[]): Promise<void> {
  const workers = new Set(members.flatMap(({ worker }) => (worker?.alive ? [worker] : [])))
  const asked = [...workers].map((worker) => worker.request('settle', { job }, { deadlineMs: deadlineOf('settle') }))
  await Promise.allSettled(asked)
}
