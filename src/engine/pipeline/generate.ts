import type { RgbImage } from '../image/pixels.js'
import { toRgbImages } from '../image/pixels.js'
import { createScheduler } from '../sampling/schedulers/index.js'
import type { ClipTokenizer } from '../text/tokenizer.js'
import type { Checkpoint } from '../weights/checkpoint.js'
import { explainNotFinite, type Ingredient } from './check-finite.js'
import { encodeConditioning, switchConditioning, type EncodedConditioning } from './conditioning.js'
import type { ConditioningInputs } from './encoded-text.js'
import type { AdapterWindow, DenoiseOptions, DenoisePlan } from './denoise.js'
import { decodeLatents, latentDims } from './latents.js'
import { createBatchNoise, noiseOf, withVariation } from './noise.js'
import { batchPrompts, checkRequest, type AdapterRequest, type GenerateRequest } from './request.js'
import type { Stages } from './stages.js'
import { startFromImage, startFromNoise, startInpainting, type Start, type StartInputs } from './start.js'

export interface GenerateInputs {
  readonly checkpoint: Checkpoint
  /** One for each text encoder of the checkpoint. */
  readonly tokenizers: readonly ClipTokenizer[]
  readonly stages: Stages
  readonly request: GenerateRequest
  /** Finds the files of the request's LoRAs and ControlNets: where a result is no number, the cause is looked for there as well. */
  readonly addons?: () => readonly Ingredient[]
  readonly signal?: AbortSignal
  readonly onStep?: DenoiseOptions['onStep']
  /** Told what a person should know, such as that the end of a prompt was left out. */
  readonly onNote?: (sentence: string) => void
  /** Told when the prompts are encoded and when decoding begins. */
  readonly onPhase?: (phase: GeneratePhase) => void
}

/** What a job does at the moment. */
export type GeneratePhase = 'encoding-prompt' | 'denoising' | 'decoding'

export interface GenerateResult {
  readonly images: readonly RgbImage[]
  /** (N, C, h, w), not divided by the scaling factor. */
  readonly latents: Float32Array
  /** The decoded pictures before rounding, (N, 3, H, W) in about -1..1. */
  readonly decoded: Float32Array
  /** The timesteps that the UNet was asked at. */
  readonly timesteps: readonly number[]
}

/**
 * Text, and perhaps a picture and a mask, to image: tokens → conditioning → noise → denoising → picture. The same seed
 * gives the image that diffusers gives.
 * @throws SwiftdError INVALID_REQUEST, PROMPT_TOO_LONG, CANCELLED; INVALID_WEIGHTS or NOT_FINITE at the first result with
 * values that are no numbers; and what the stages throw
 */
export async function generate(inputs: GenerateInputs): Promise<GenerateResult> {
  const { checkpoint, stages, request, signal, onStep, onPhase } = inputs
  checkRequest(request, checkpoint)
  const { numInferenceSteps } = request
  const { count } = batchPrompts(request)
  const scheduler = createScheduler(request.scheduler, numInferenceSteps, { eta: request.eta })

  onPhase?.('encoding-prompt')
  const calls = scheduler.timesteps.length
  const scheduleCalls = numInferenceSteps * scheduler.order
  const conditioning = await encodeWithAdapters({ ...inputs, calls, scheduleCalls }, scheduler.order)
  try {
    const dims = latentDims(checkpoint, request, count)
    const described = noiseOf(request, count)
    const noise = withVariation(createBatchNoise(described), request, dims)
    const start = await startOf({ checkpoint, stages, scheduler, noise, dims, numInferenceSteps }, request)

    onPhase?.('denoising')
    const plan: DenoisePlan = {
      scheduler: request.scheduler,
      numInferenceSteps,
      eta: request.eta,
      ...conditioning.from(start.index),
      start,
      dims,
      guidanceScale: request.guidanceScale,
      guidanceRescale: request.guidanceRescale ?? 0,
      ...(request.controls && { controls: request.controls }),
      ...(request.adapters && { adapters: adapterWindow(request.adapters, scheduler.order) }),
      noise: described,
      drawn: noise.drawn,
    }
    const options = { signal, onStep }
    const latents = await stages.denoise(plan, options).catch((error: unknown) => {
      const suspectsOf = () => ({
        ingredients: [checkpoint.unet, ...checkpoint.textEncoders, ...(inputs.addons?.() ?? [])],
        halfPrecision: stages.halfPrecision,
      })
      return explainNotFinite(error, suspectsOf, signal)
    })

    onPhase?.('decoding')
    const decoded = await decodeLatents(checkpoint, stages, latents, dims, request.vaeTiling)
    const images = toRgbImages({ dims: [count, 3, request.height, request.width], data: decoded })
    return { images, latents, decoded, timesteps: scheduler.timesteps.slice(start.index) }
  } finally {
    conditioning.release()
  }
}

/** When a job's adapters take effect, in model calls. */
function adapterWindow({ prepared, fromStep, boundStep }: AdapterRequest, order: number): AdapterWindow {
  if (fromStep !== undefined) return { prepared, fromCall: fromStep * order }
  return { prepared, boundCall: (boundStep ?? 0) * order }
}

/**
 * Encodes the prompts with the adapters' text-encoder parts. Where those come later than the first step and are meant to
 * switch with the UNet, both readings are encoded, and the conditioning changes at the same call.
 */
async function encodeWithAdapters(inputs: ConditioningInputs, order: number): Promise<EncodedConditioning> {
  const { stages, request } = inputs
  const { adapters } = request
  if (!adapters) return encodeConditioning(inputs)
  const adapted: Stages = {
    ...stages,
    encodePrompt: (tokens, clipSkip) => stages.encodePrompt(tokens, clipSkip, adapters.prepared),
  }
  const withAdapters = await encodeConditioning({ ...inputs, stages: adapted })
  const from = (adapters.fromStep ?? 0) * order
  if (from === 0 || !adapters.switchTextEncoders) return withAdapters
  return switchConditioning(await encodeConditioning(inputs), withAdapters, from, inputs.calls)
}

/** Noise, a picture, or a picture and a mask, as the request has them. */
async function startOf(inputs: StartInputs, { image, mask, strength = 1 }: GenerateRequest): Promise<Start> {
  if (!image) return startFromNoise(inputs)
  return mask ? startInpainting(inputs, image, mask, strength) : startFromImage(inputs, image, strength)
}
