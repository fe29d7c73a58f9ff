import { estimateClean, latentSpaceOf, latentsToRgb, type NoiseLevel } from '../../engine/image/latent-preview.js'
import type { DenoiseStep } from '../../engine/pipeline/denoise.js'
import { createScheduler, type SchedulerDescription } from '../../engine/sampling/schedulers/index.js'
import type { Checkpoint } from '../../engine/weights/checkpoint.js'
import type { JobRecord } from './job.js'

/** A person sees no more of it, and each one costs time between two steps. */
const INTERVAL_MS = 250

/**
 * Shows, a few times a second, what the latents of a job may become. Only for jobs whose client asked for it.
 * @returns what to call after each step
 */
export function createPreviews(
  job: JobRecord,
  { family, vae, vaeScale }: Checkpoint,
  description: SchedulerDescription,
): ((step: DenoiseStep) => void) | undefined {
  if (!job.inputs.previews) return undefined
  const { numInferenceSteps, height: imageHeight, width: imageWidth } = job.request
  const [height, width] = [imageHeight / vaeScale, imageWidth / vaeScale]
  const channels = vae.config.latent_channels
  const space = latentSpaceOf(family, vae.config)
  const levelAfter = noiseLevels(description, numInferenceSteps)
  let shownAt = -Infinity
  return ({ index: call, total, latents, modelOutput }) => {
    const now = performance.now()
    if (now - shownAt < INTERVAL_MS) return
    shownAt = now
    const level = levelAfter(call, total)
    const clean = level ? estimateClean(latents, modelOutput, level) : latents
    const count = clean.length / (channels * height * width)
    for (const [index, image] of latentsToRgb(clean, [count, channels, height, width], space).entries()) {
      const rgb = Buffer.from(image.data).toString('base64')
      job.emit({ type: 'preview', step: call + 1, index, width, height, rgb })
    }
  }
}

/** The noise that is left after a model call; undefined for methods that do not count it in sigmas. */
function noiseLevels(description: SchedulerDescription, steps: number) {
  const { sigmas, timesteps, initNoiseSigma } = createScheduler(description, steps)
  const { prediction_type: predictionType = 'epsilon' } = description.config
  return (call: number, total: number): NoiseLevel | undefined => {
    // A job from a picture begins in the middle of the schedule.
    const sigma = call + 1 === total ? 0 : sigmas[timesteps.length - total + call + 1]
    return Number.isFinite(sigma) ? { sigma, unscaled: initNoiseSigma > 1, predictionType } : undefined
  }
}
