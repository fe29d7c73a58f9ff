import { latentSpaceOf, latentsToRgb } from '../../engine/image/latent-preview.js'
import type { Checkpoint } from '../../engine/weights/checkpoint.js'
import type { JobRecord } from './job.js'

/** A person sees no more of it, and each one costs time between two steps. */
const INTERVAL_MS = 250

/**
 * Shows, a few times a second, what the latents of a job may become. Only for jobs whose client asked for it.
 * @returns what to call after a step, with its number from 1 and the latents
 */
export function createPreviews(
  job: JobRecord,
  { family, vae, vaeScale }: Checkpoint,
): ((step: number, latents: Float32Array) => void) | undefined {
  if (!job.inputs.previews) return undefined
  const [height, width] = [job.request.height / vaeScale, job.request.width / vaeScale]
  const channels = vae.config.latent_channels
  const space = latentSpaceOf(family, vae.config)
  let shownAt = -Infinity
  return (step, latents) => {
    const now = performance.now()
    if (now - shownAt < INTERVAL_MS) return
    shownAt = now
    const count = latents.length / (channels * height * width)
    for (const [index, image] of latentsToRgb(latents, [count, channels, height, width], space).entries()) {
      job.emit({ type: 'preview', step, index, width, height, rgb: Buffer.from(image.data).toString('base64') })
    }
  }
}
