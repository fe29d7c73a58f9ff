import { SwiftdError } from '../errors.js'
import { fromRgbImages, type RgbImage } from '../image/pixels.js'
import type { Scheduler } from '../sampling/scheduler.js'
import type { Checkpoint } from '../weights/checkpoint.js'
import { autoencoderOf, checkFinite } from './check-finite.js'
import type { LatentDims } from './latents.js'
import { latentMask, pixelMask, type GrayImage } from './mask.js'
import type { BatchNoise } from './noise.js'
import { posteriorOf } from './posterior.js'
import type { Stages } from './stages.js'

/** Where denoising begins, and what it must keep to. Plain data: it crosses process borders. */
export interface Start {
  /** (N, C, h, w) at the noise level of model call `index`. */
  readonly latents: Float32Array
  /** The first model call. */
  readonly index: number
  /** Channels that an inpainting UNet reads besides the latents: (N, 1 + C, h, w), the mask and the masked picture. */
  readonly extraChannels?: Float32Array
  /** What the mask does not repaint, put back after every call (UNets without mask channels). */
  readonly known?: KnownPart
}

/** The part of a picture that inpainting keeps. */
export interface KnownPart {
  /** (N, C, h, w): the picture's latents, clean. */
  readonly latents: Float32Array
  /** (N, C, h, w): the noise that brings them to the level of a call. */
  readonly noise: Float32Array
  /** (h, w): 1 where the picture is repainted, else 0. */
  readonly mask: Float32Array
}

export interface StartInputs {
  readonly checkpoint: Checkpoint
  readonly stages: Stages
  readonly scheduler: Scheduler
  readonly noise: BatchNoise
  readonly dims: LatentDims
  readonly numInferenceSteps: number
}

/** Text to image: pure noise. */
export function startFromNoise({ scheduler, noise, dims }: StartInputs): Start {
  return { latents: scaledNoise(scheduler, noise.draw(perImage(dims))), index: 0 }
}

/**
 * Image to image (diffusers' img2img pipelines): the picture's latents, noised for the step at which `strength` enters.
 * Draws the posterior's sample, then the noise.
 */
export async function startFromImage(inputs: StartInputs, image: RgbImage, strength: number): Promise<Start> {
  const { scheduler, noise, dims } = inputs
  const index = firstCall(inputs, strength)
  const clean = await imageLatents(inputs, signedPixels(image))
  return { latents: scheduler.addNoise(clean, noise.draw(perImage(dims)), index), index }
}

/**
 * Inpainting (diffusers' inpaint pipelines): repaints where the mask is white. Draws the picture's posterior sample (only
 * where its latents are needed), the noise, then the masked picture's posterior sample, which plain UNets draw as well.
 */
export async function startInpainting(
  inputs: StartInputs,
  image: RgbImage,
  mask: GrayImage,
  strength: number,
): Promise<Start> {
  const { checkpoint, scheduler, noise, dims } = inputs
  const full = strength === 1
  const hasMaskChannels = checkpoint.unet.config.in_channels > dims[1]
  const index = firstCall(inputs, strength)
  const pixels = signedPixels(image)

  const clean = hasMaskChannels && full ? undefined : await imageLatents(inputs, pixels)
  const drawn = noise.draw(perImage(dims))
  const latents = full || !clean ? scaledNoise(scheduler, drawn) : scheduler.addNoise(clean, drawn, index)
  const masked = await imageLatents(inputs, maskedPixels(pixels, pixelMask(mask)))
  const keep = latentMask(mask, dims[2], dims[3])
  if (hasMaskChannels) return { latents, index, extraChannels: joinMaskChannels(keep, masked, dims) }
  return { latents, index, ...(clean && { known: { latents: clean, noise: drawn, mask: keep } }) }
}

/** The model call at which a strength enters the schedule: the last `strength` of the steps are done. */
function firstCall({ scheduler, numInferenceSteps: steps }: StartInputs, strength: number): number {
  const skipped = Math.max(steps - Math.min(Math.floor(steps * strength), steps), 0)
  const index = skipped * scheduler.order
  if (index < scheduler.timesteps.length) return index
  const least = `${Math.ceil(1 / steps / 0.01) / 100}`
  const sentence = `A strength of ${strength} leaves none of the ${steps} steps to do; use at least ${least} or more steps.`
  throw new SwiftdError('INVALID_REQUEST', sentence)
}

/** Samples of the posterior of a picture, (1, 3, H, W) in -1..1, times the scaling factor: (N, C, h, w). */
async function imageLatents(
  { stages, checkpoint, noise, dims }: StartInputs,
  pixels: Float32Array,
): Promise<Float32Array> {
  const [count, , height, width] = dims
  const scale = checkpoint.vaeScale
  const image = stages.allocate([1, 3, height * scale, width * scale])
  try {
    image.data.set(pixels)
    const moments = await stages.encodeImage(image)
    const { mean, logvar } = posteriorOf(moments)
    moments.release()
    for (const values of [mean, logvar])
      await checkFinite("The picture's latents", values, autoencoderOf(checkpoint, stages))
    const drawn = noise.drawShared(mean.length)
    const factor = checkpoint.vae.config.scaling_factor
    const latents = new Float32Array(count * mean.length)
    for (let i = 0; i < latents.length; i++) {
      const at = i % mean.length
      latents[i] = (mean[at] + Math.exp(0.5 * logvar[at]) * drawn[i]) * factor
    }
    return latents
  } finally {
    image.release()
  }
}

function signedPixels(image: RgbImage): Float32Array {
  return fromRgbImages([image], 'signed').data
}

/** The picture with everything that is repainted set to the middle grey, 0. */
function maskedPixels(pixels: Float32Array, mask: Float32Array): Float32Array {
  return pixels.map((value, i) => (mask[i % mask.length] < 0.5 ? value : 0))
}

function joinMaskChannels(mask: Float32Array, masked: Float32Array, [count, channels]: LatentDims): Float32Array {
  const area = mask.length
  const joined = new Float32Array(count * (1 + channels) * area)
  for (let image = 0; image < count; image++) {
    const begin = image * (1 + channels) * area
    joined.set(mask, begin)
    joined.set(masked.subarray(image * channels * area, (image + 1) * channels * area), begin + area)
  }
  return joined
}

/**
 * Puts the unmasked part back after model call `index`: the picture's latents, noised as far as the next call expects
 * (clean after the last).
 */
export function restoreKnown(
  scheduler: Scheduler,
  { latents: clean, noise, mask }: KnownPart,
  latents: Float32Array,
  index: number,
): Float32Array {
  const last = index + 1 >= scheduler.timesteps.length
  const known = last ? clean : scheduler.addNoise(clean, noise, index + 1)
  return latents.map((value, i) => {
    const repaint = mask[i % mask.length]
    return (1 - repaint) * known[i] + repaint * value
  })
}

function scaledNoise(scheduler: Scheduler, noise: Float32Array): Float32Array {
  return noise.map((value) => value * scheduler.initNoiseSigma)
}

const perImage = ([, channels, height, width]: LatentDims): number => channels * height * width
