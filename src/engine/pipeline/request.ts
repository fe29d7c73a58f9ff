import { SwiftdError } from '../errors.js'
import type { RgbImage } from '../image/pixels.js'
import type { SchedulerDescription } from '../sampling/schedulers/index.js'
import type { Checkpoint } from '../weights/checkpoint.js'
import type { Emphasis } from './emphasis.js'
import type { ControlWindow } from './denoise.js'
import type { GrayImage } from './mask.js'
import type { PreparedAdapters } from './stages.js'
import type { VaeTiling } from './vae-tiling.js'

/** Height and width, as diffusers orders them. */
export type Size = readonly [height: number, width: number]

/** SDXL's micro-conditioning: what the UNet is told about the training picture it should imitate. */
export interface SizeConditioning {
  /** @default the picture's own size */
  readonly originalSize?: Size
  /** Top and left. @default [0, 0] */
  readonly cropsCoordsTopLeft?: Size
  /** @default the picture's own size */
  readonly targetSize?: Size
}

/**
 * How prompts are read. `diffusers`: brackets are text like any other, and text beyond 75 tokens is left out. `a1111`:
 * stable-diffusion-webui's weights, scheduling, alternation and BREAK, and any length in chunks of 75 tokens.
 */
export type PromptSyntax = 'diffusers' | 'a1111'

/**
 * How the seeds of a batch become noise. `diffusers`: one seed draws for the whole batch, or each image has its own.
 * `a1111`: image i draws from seed + i, so that it is the same in any batch.
 */
export type NoiseConvention = 'diffusers' | 'a1111'

/** LoRAs of a job, prepared for the stages that it runs on. */
export interface AdapterRequest {
  readonly prepared: PreparedAdapters
  /** The step from which on the UNet has them, neither earlier nor later; the steps before run on the base weights. */
  readonly fromStep?: number
  /** Without `fromStep`: the UNet has them as soon as they are ready, and this step waits for them. @default 0 */
  readonly boundStep?: number
  /** Encode the prompts without them at first, and again when they take effect. Else they count from the start. */
  readonly switchTextEncoders?: boolean
}

/** A job for the engine. Names are diffusers', camel-cased. */
export interface GenerateRequest {
  /** One prompt, or one for each image of the batch. */
  readonly prompt: string | readonly string[]
  /** What SDXL's second text encoder reads. @default the prompt */
  readonly prompt2?: string
  /**
   * What to steer away from. null is diffusers' missing negative prompt: the empty text, or all-zero embeddings for models
   * that say so (SDXL).
   */
  readonly negativePrompt: string | readonly string[] | null
  readonly negativePrompt2?: string
  /** @default 'diffusers' */
  readonly promptSyntax?: PromptSyntax
  /** How weights of the a1111 syntax act. @default 'original' */
  readonly emphasis?: Emphasis
  /** Images made of each prompt in one batch. @default 1 */
  readonly numImagesPerPrompt?: number
  /** Pixels; a multiple of the autoencoder's factor (8). */
  readonly width: number
  readonly height: number
  readonly numInferenceSteps: number
  /** 1 or less runs without classifier-free guidance. */
  readonly guidanceScale: number
  /** How far to bring the guided prediction's deviation back (Lin et al. 2305.08891); 0 is off. @default 0 */
  readonly guidanceRescale?: number
  /**
   * One seed, or one for each image. Of one seed, the diffusers convention draws the noise of the whole batch, and the a1111
   * convention takes seed + i for image i.
   */
  readonly seeds: readonly bigint[]
  /** @default 'diffusers' */
  readonly noiseConvention?: NoiseConvention
  /** PyTorch's generator on CPUs, or the one on NVIDIA's devices, computed anywhere. @default 'cpu' */
  readonly rng?: 'cpu' | 'nv'
  /** Mixes in the initial noise of another seed, + i for image i; the images then share `seeds[0]` (a1111 convention). */
  readonly variationSeed?: bigint
  /** How much of the variation seed, 0 to 1. @default 0 */
  readonly variationStrength?: number
  readonly scheduler: SchedulerDescription
  /** DDIM's share of fresh noise. @default 0 */
  readonly eta?: number
  /**
   * How many of the text encoder's last layers to leave out, of the prompt only. In the a1111 syntax it counts from 1, which
   * leaves out none, and holds for both prompts.
   */
  readonly clipSkip?: number
  /** The picture to start from (img2img), of the request's size. */
  readonly image?: RgbImage
  /** Where to repaint `image`: at least half white (inpainting), of the same size. */
  readonly mask?: GrayImage
  /** How much of the picture is redone, over 0 to 1: the share of the steps that run. @default 1 */
  readonly strength?: number
  /** Whether to decode the picture in tiles. @default 'auto', by its size */
  readonly vaeTiling?: VaeTiling
  readonly adapters?: AdapterRequest
  readonly controls?: readonly ControlWindow[]
  readonly sizes?: SizeConditioning
  readonly negativeSizes?: SizeConditioning
}

/** The prompts of a request, spelled out for each image of the batch. */
export interface BatchPrompts {
  readonly prompts: readonly string[]
  readonly negativePrompts: readonly (string | null)[]
  readonly count: number
}

/** Repeats prompts as diffusers does: every prompt `numImagesPerPrompt` times in a row. */
export function batchPrompts({ prompt, negativePrompt, numImagesPerPrompt = 1 }: GenerateRequest): BatchPrompts {
  const prompts = typeof prompt === 'string' ? [prompt] : prompt
  const negatives = Array.isArray(negativePrompt)
    ? (negativePrompt as readonly string[])
    : prompts.map(() => negativePrompt as string | null)
  if (negatives.length !== prompts.length) {
    const counts = `${prompts.length} prompts but ${negatives.length} negative prompts`
    throw new SwiftdError('INVALID_REQUEST', `The request has ${counts}; give one for each, or one for all.`)
  }
  const repeat = <T>(items: readonly T[]): T[] => items.flatMap((item) => new Array<T>(numImagesPerPrompt).fill(item))
  return {
    prompts: repeat(prompts),
    negativePrompts: repeat(negatives),
    count: prompts.length * numImagesPerPrompt,
  }
}

/** True with classifier-free guidance. */
export function isGuided({ guidanceScale }: GenerateRequest): boolean {
  return guidanceScale > 1
}

/**
 * The seed of each image, as it is recorded with it. In the diffusers convention images of one seed share it.
 * (stable-diffusion-webui: `all_seeds` in process_images_inner of modules/processing.py.)
 */
export function imageSeeds(request: GenerateRequest, count: number): bigint[] {
  const { seeds, noiseConvention, variationStrength = 0 } = request
  if (seeds.length !== 1) return [...seeds]
  const apart = noiseConvention === 'a1111' && variationStrength === 0
  return Array.from({ length: count }, (_, image) => seeds[0] + (apart ? BigInt(image) : 0n))
}

/**
 * Checks what depends on the model.
 * @throws SwiftdError INVALID_REQUEST, UNSUPPORTED_MODEL
 */
export function checkRequest({ width, height, seeds, ...request }: GenerateRequest, checkpoint: Checkpoint): void {
  const { vaeScale, unet } = checkpoint
  for (const [name, value] of Object.entries({ width, height })) {
    if (value % vaeScale === 0 && value > 0) continue
    const [below, above] = [Math.floor(value / vaeScale) * vaeScale, Math.ceil(value / vaeScale) * vaeScale]
    const near = below > 0 ? `${below} or ${above}` : `${vaeScale}`
    throw new SwiftdError(
      'INVALID_REQUEST',
      `The ${name} of ${value} pixels is not a multiple of ${vaeScale}; use ${near}.`,
    )
  }
  const { count } = batchPrompts({ width, height, seeds, ...request })
  if (seeds.length !== 1 && seeds.length !== count) {
    const counts = `${seeds.length} seeds for ${count} images`
    throw new SwiftdError('INVALID_REQUEST', `The request has ${counts}; give one seed, or one for each image.`)
  }
  checkPictures({ width, height, seeds, ...request })
  checkConventions({ width, height, seeds, ...request })
  checkClipSkip(request, checkpoint)
  const hasMaskChannels = unet.config.in_channels > unet.config.out_channels
  if (hasMaskChannels && !request.mask) {
    const channels = `${unet.config.in_channels} input channels`
    const sentence = `${checkpoint.name} is an inpainting model (its UNet has ${channels}); give it an image and a mask.`
    throw new SwiftdError('INVALID_REQUEST', sentence)
  }
}

/** The text encoders must have the layers that are left out. The a1111 syntax counts from 1 and only SD heeds it. */
function checkClipSkip(
  { clipSkip, promptSyntax }: Partial<GenerateRequest>,
  { family, textEncoders }: Checkpoint,
): void {
  const first = promptSyntax === 'a1111' ? 1 : 0
  if (clipSkip === undefined || (first === 1 && family === 'sdxl')) return
  const layers = Math.min(...textEncoders.map(({ config }) => config.num_hidden_layers))
  const most = layers - (family === 'sdxl' ? 1 : 0) + first
  if (clipSkip <= most) return
  const sentence = `A clip skip of ${clipSkip} is too large; this model allows ${first} to ${most}.`
  throw new SwiftdError('INVALID_REQUEST', sentence)
}

/** What one convention has and the other has not. */
function checkConventions(request: GenerateRequest): void {
  const { promptSyntax, prompt2, negativePrompt2, clipSkip, noiseConvention, variationStrength, variationSeed } =
    request
  const fail = (sentence: string): never => {
    throw new SwiftdError('INVALID_REQUEST', sentence)
  }
  if (promptSyntax === 'a1111' && (prompt2 ?? negativePrompt2) !== undefined) {
    fail(
      "A second prompt belongs to diffusers' prompt syntax; leave it out or change the syntax from a1111 to diffusers.",
    )
  }
  if (promptSyntax === 'a1111' && clipSkip !== undefined && !(Number.isInteger(clipSkip) && clipSkip >= 1)) {
    fail(`A clip skip of ${clipSkip} is not a whole number from 1 on, which the a1111 prompt syntax counts from.`)
  }
  if (variationStrength === undefined || variationStrength === 0) return
  if (!(variationStrength > 0 && variationStrength <= 1)) {
    fail(`A variation strength of ${variationStrength} is not from 0 to 1.`)
  }
  if (variationSeed === undefined) fail('There is a variation strength but no variation seed; give both.')
  if (noiseConvention !== 'a1111')
    fail('Variation seeds belong to the a1111 noise convention; choose it, or leave them out.')
}

/** A picture and a mask must have the request's size, and a strength needs a picture. */
function checkPictures({ image, mask, strength, width, height }: GenerateRequest): void {
  for (const [name, picture] of Object.entries({ image, mask })) {
    if (!picture || (picture.width === width && picture.height === height)) continue
    const sizes = `${picture.width}x${picture.height}, but the request ${width}x${height}`
    throw new SwiftdError('INVALID_REQUEST', `The ${name} is ${sizes}; resize it or change the request.`)
  }
  if (mask && !image) throw new SwiftdError('INVALID_REQUEST', 'There is a mask but no image to repaint; give both.')
  if (strength !== undefined && !(strength > 0 && strength <= 1)) {
    throw new SwiftdError('INVALID_REQUEST', `A strength of ${strength} is not over 0 and up to 1.`)
  }
}
