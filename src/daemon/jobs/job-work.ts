import { latentDims } from '../../engine/pipeline/latents.js'
import { chooseTiling } from '../../engine/pipeline/vae-tiling.js'
import type { Checkpoint } from '../../engine/weights/checkpoint.js'
import type { ResolvedRequest } from '../protocol/request.js'
import type { JobWork } from '../workers/job-crew.js'
import { placementNeeds } from './placement-needs.js'

/** The shapes of a job's largest calls, which its devices must have memory for. */
export function jobWork(request: ResolvedRequest, checkpoint: Checkpoint): JobWork {
  const { width, height, numImages, vaeTiling, image } = request
  const [, channels, latentHeight, latentWidth] = latentDims(checkpoint, { width, height }, numImages)
  const tile = chooseTiling(vaeTiling, latentHeight, latentWidth)?.tile ?? Infinity
  return {
    pass: [placementNeeds(request).batch, channels, latentHeight, latentWidth],
    // Image by image.
    decode: [1, channels, Math.min(tile, latentHeight), Math.min(tile, latentWidth)],
    ...(image && { encode: [1, 3, height, width] }),
  }
}
