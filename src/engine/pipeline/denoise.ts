import { SwiftdError } from '../errors.js'
import { applyGuidance, rescaleGuidance } from '../sampling/guidance.js'
import { createScheduler, type SchedulerDescription } from '../sampling/schedulers/index.js'
import { allFinite } from '../weights/find-nan.js'
import { notFinite } from './check-finite.js'
import type { LatentDims } from './latents.js'
import { createBatchNoise, type Draw, type NoiseDescription } from './noise.js'
import type {
  ActiveControl,
  Conditioning,
  DeviceTiming,
  PassOptions,
  PassTiming,
  PreparedAdapters,
  Tensor,
  UnetStages,
} from './stages.js'
import { restoreKnown, type Start } from './start.js'

/** One finished step. */
export interface DenoiseStep {
  /** Number of the model call, from 0 for the first of this job. */
  readonly index: number
  /** Model calls of the whole job. */
  readonly total: number
  readonly timestep: number
  readonly sigma: number
  /** The latents after the step. Not to be changed. */
  readonly latents: Float32Array
  /** The guided prediction that the step was made with. Valid until the next step. */
  readonly modelOutput: Float32Array
  /** From the end of the step before (or the begin of the loop) to the end of this one, in milliseconds. */
  readonly elapsedMs: number
  /** Of that: inside the runtime's own runs. */
  readonly runtimeMs: number
  /** Where the time of its passes went, device by device, if the stages tell. */
  readonly devices?: readonly DeviceTiming[]
  /** Whether the adapters of the plan were in effect. */
  readonly adapted: boolean
}

/** All that the loop needs besides the networks. Plain data and tensors of the stages: it crosses process borders. */
export interface DenoisePlan {
  readonly scheduler: SchedulerDescription
  readonly numInferenceSteps: number
  /** DDIM's share of fresh noise. */
  readonly eta?: number
  /** What the UNet sees; with guidance the batch is twice the images: [negative, positive]. */
  readonly conditionings: readonly Conditioning[]
  /** Which of the conditionings each model call sees, where the prompt changes on the way. @default the first */
  readonly conditioningAt?: readonly number[]
  readonly start: Start
  /** Shape of the latents. */
  readonly dims: LatentDims
  readonly guidanceScale: number
  readonly guidanceRescale: number
  readonly adapters?: AdapterWindow
  readonly controls?: readonly ControlWindow[]
  /** The noise of stochastic schedulers, behind what was drawn for the start. */
  readonly noise: NoiseDescription
  readonly drawn: readonly Draw[]
}

/**
 * Adapters of a job, and when they take effect. Bounded asynchronous loading (SwiftDiffusion, arXiv 2407.02031): the first
 * calls may run on the base weights while the adapters are still being computed.
 */
export interface AdapterWindow {
  readonly prepared: PreparedAdapters
  /** The model call of this job at which they take effect, neither earlier nor later. @default see `boundCall` */
  readonly fromCall?: number
  /** Without `fromCall`: they take effect as soon as they are ready, and this call waits for them. @default 0 */
  readonly boundCall?: number
}

/** A ControlNet and the part of the schedule in which it takes part, as fractions. */
export interface ControlWindow extends ActiveControl {
  readonly start: number
  readonly end: number
}

export interface DenoiseOptions {
  readonly signal?: AbortSignal
  /** Told after every finished step; the next one begins when it is done. */
  readonly onStep?: (step: DenoiseStep) => void | Promise<void>
  /**
   * Guided predictions, (N, C, h, w) each, of the calls that were finished before, from the first on. They are stepped
   * through again without the networks, which brings scheduler and noise to the same state: how a job goes on elsewhere.
   */
  readonly finished?: readonly Float32Array[]
}

/**
 * The denoising loop (diffusers' pipelines, stage "Denoising loop").
 * @returns the final latents (N, C, h, w), not divided by the autoencoder's scaling factor
 * @throws SwiftdError CANCELLED when `signal` aborts; NOT_FINITE at the first prediction with values that are no numbers
 */
export async function denoise(
  stages: UnetStages,
  plan: DenoisePlan,
  { signal, onStep, finished = [] }: DenoiseOptions = {},
): Promise<Float32Array> {
  const { start, dims, conditionings, guidanceScale, guidanceRescale } = plan
  const [count, channels, height, width] = dims
  const perImage = channels * height * width
  const scheduler = createScheduler(plan.scheduler, plan.numInferenceSteps, { eta: plan.eta })
  const noise = createBatchNoise(plan.noise, plan.drawn)
  const batch = conditionings[0].encoderHiddenStates.dims[0]
  const guided = batch === 2 * count
  const total = scheduler.timesteps.length - start.index

  const extraChannels = start.extraChannels ? start.extraChannels.length / (count * height * width) : 0
  const sample = stages.allocate([batch, channels + extraChannels, height, width])
  const prediction = stages.allocate([batch, channels, height, width])
  let latents = start.latents
  let adapted = false
  let last = performance.now()
  try {
    for (let done = 0; done < total; done++) {
      const index = start.index + done
      const timestep = scheduler.timesteps[index]
      if (signal?.aborted) throw new SwiftdError('CANCELLED', 'The job was cancelled.')

      let timing: PassTiming = { runtimeMs: 0 }
      let modelOutput = finished.at(done)
      if (!modelOutput) {
        fillSample(sample, scheduler.scaleModelInput(latents, index), start.extraChannels, count)
        const conditioning = conditionings[plan.conditioningAt?.[index] ?? 0]
        adapted ||= takeEffect(stages, plan.adapters, done)
        const options = passOptions(plan, adapted, done, total, guided ? count : 0)
        timing = await stages.predictNoise(sample, timestep, conditioning, prediction, options)
        modelOutput = guided ? guide(prediction.data, guidanceScale, guidanceRescale, count) : prediction.data
        // No later step can be better. One pass over values that lie here already.
        if (!allFinite(modelOutput)) throw notFinite(`The predictions of step ${done + 1} of ${total}`)
      }

      latents = scheduler.step(modelOutput, index, latents, () => noise.draw(perImage))
      if (start.known) latents = restoreKnown(scheduler, start.known, latents, index)

      if (done < finished.length) continue
      const sigma = scheduler.sigmas[index] ?? NaN
      const now = performance.now()
      const elapsedMs = now - last
      last = now
      await onStep?.({ index: done, total, timestep, sigma, latents, modelOutput, elapsedMs, adapted, ...timing })
    }
    return latents
  } finally {
    sample.release()
    prediction.release()
  }
}

/** Whether a plan's adapters are in effect from model call `done` on. */
function takeEffect({ adaptersReady }: UnetStages, adapters: AdapterWindow | undefined, done: number): boolean {
  if (!adapters) return false
  const { prepared, fromCall, boundCall = 0 } = adapters
  if (fromCall !== undefined) return done >= fromCall
  return done >= boundCall || (adaptersReady?.(prepared) ?? true)
}

/** The adapters and ControlNets of model call `done` of `total`; a ControlNet is off where diffusers switches it off. */
function passOptions(
  { adapters, controls }: DenoisePlan,
  adapted: boolean,
  done: number,
  total: number,
  positiveRow: number,
): PassOptions | undefined {
  const effective = adapted ? adapters?.prepared : undefined
  const active = controls?.filter(({ start, end }) => !(done / total < start || (done + 1) / total > end))
  if (!effective && !active?.length) return undefined
  return { positiveRow, ...(effective && { adapters: effective }), ...(active?.length && { controls: active }) }
}

/** Combines a prediction's halves, [negative, positive] of `count` images each, into a new array. */
function guide(prediction: Float32Array, scale: number, rescale: number, count: number): Float32Array {
  const half = prediction.length / 2
  const positive = prediction.subarray(half)
  const guided = new Float32Array(half)
  applyGuidance(guided, prediction.subarray(0, half), positive, scale)
  if (rescale > 0) rescaleGuidance(guided, positive, rescale, count)
  return guided
}

/** Writes the UNet's input: each image's latents and extra channels, once for each half of the guidance. */
function fillSample(sample: Tensor, scaled: Float32Array, extra: Float32Array | undefined, count: number): void {
  const [batch] = sample.dims
  const perImage = sample.data.length / batch
  const latentPart = scaled.length / count
  for (let row = 0; row < batch; row++) {
    const image = row % count
    sample.data.set(scaled.subarray(image * latentPart, (image + 1) * latentPart), row * perImage)
    if (!extra) continue
    const extraPart = perImage - latentPart
    sample.data.set(extra.subarray(image * extraPart, (image + 1) * extraPart), row * perImage + latentPart)
  }
}
