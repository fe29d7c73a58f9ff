import { z } from 'zod'
import { SwiftdError } from '../../engine/errors.js'
import { ControlRequestSchema, ControlsSchema, ResolvedControlSchema } from './control-request.js'
import { bounded, choice, flag, flagOrAuto, text } from './fields.js'
import { LIMITS, MAX_PROMPT_CHARACTERS } from './limits.js'
import { LORA_FIELDS, LoraRequestSchema, ResolvedLoraSchema } from './lora-request.js'
import { PictureInfoSchema, PictureSchema } from './picture.js'
import { explainIssue } from './request-error.js'
import { checkTogether } from './request-rules.js'
import { EMPHASES, GENERATORS, NOISE_CONVENTIONS, PROMPT_SYNTAXES, RESIZE_MODES, VAE_TILINGS } from './words.js'

/** Which devices a job runs on, by name. Whatever is not given is chosen by the daemon. */
const PlacementSchema = z.strictObject(
  {
    /** Runs the UNet, and whatever has no device of its own. */
    baseDevice: text('the name of a device').optional(),
    /** Runs half of the batch with `latentParallel`. */
    secondDevice: text('the name of a device').optional(),
    /** Runs the text encoders and the autoencoder. */
    textDevice: text('the name of a device').optional(),
    /** One for each ControlNet, in their order; the last one runs those that are left. */
    controlNetDevices: z.array(text('the name of a device'), { error: 'must be a list of devices' }).optional(),
  },
  { error: 'must be an object such as {"baseDevice": "cpu:0"}' },
)

/** Fields that a job has as they were asked for. The engine's GenerateRequest says what they mean. */
const PLAIN_FIELDS = {
  prompt: text('the text to draw'),
  /** What SDXL's second text encoder reads. @default the prompt */
  prompt2: text('a text').optional(),
  /** Absent is not the same as empty for SDXL, whose models may want all-zero embeddings then, as in diffusers. */
  negativePrompt: text('a text').optional(),
  negativePrompt2: text('a text').optional(),
  promptSyntax: choice(PROMPT_SYNTAXES).default('diffusers'),
  emphasis: choice(EMPHASES).default('original'),
  clipSkip: bounded(LIMITS.clipSkip).optional(),
  /** A sampler in any spelling that diffusers, A1111 or ComfyUI use. */
  scheduler: text('the name of a sampler').min(1, 'must be the name of a sampler').optional(),
  noiseConvention: choice(NOISE_CONVENTIONS).default('diffusers'),
  rng: choice(GENERATORS).default('cpu'),
  variationSeed: bounded(LIMITS.variationSeed).optional(),
  variationStrength: bounded(LIMITS.variationStrength).optional(),
  numImages: bounded(LIMITS.numImages).default(1),
  eta: bounded(LIMITS.eta).optional(),
  guidanceRescale: bounded(LIMITS.guidanceRescale).optional(),
  /** How a picture and a mask of another size are brought to the image's. */
  resizeMode: choice(RESIZE_MODES).default('just-resize'),
  vaeTiling: choice(VAE_TILINGS).default('auto'),
  /** Run the two halves of the guidance on two devices; `auto` does so where it is predicted to be faster. */
  latentParallel: flagOrAuto().optional(),
  placement: PlacementSchema.optional(),
}

const MODEL = 'the name or path of a model'
const VAE = 'the path of an autoencoder or the name of a model'

/**
 * What a client asks for: the fields of a diffusers pipeline call, camel-cased. Optional fields follow from the model:
 * its native size, its usual number of steps and guidance scale, its own scheduler, and a random seed.
 * Fields that do not exist are refused, so that a misspelled one is not silently ignored.
 */
export const GenerateRequestSchema = z.strictObject({
  ...PLAIN_FIELDS,
  /** A name that the daemon knows or the path of a model's folder or file. */
  model: text(MODEL).min(1, `must be ${MODEL}`).default('demo'),
  /** Used instead of the model's own: an absolute path, or the name of the model whose autoencoder it is. */
  vae: text(VAE).min(1, `must be ${VAE}`).optional(),
  /** Pixels. @default the picture's size for image to image, else the model's own */
  width: bounded(LIMITS.width).optional(),
  height: bounded(LIMITS.height).optional(),
  numInferenceSteps: bounded(LIMITS.numInferenceSteps).optional(),
  /** How strongly the image follows the prompt; 1 and less turn guidance off. */
  guidanceScale: bounded(LIMITS.guidanceScale).optional(),
  /** Image i of a request gets seed + i. */
  seed: bounded(LIMITS.seed).optional(),
  /** The picture to start from (img2img). */
  image: PictureSchema.optional(),
  /** Where to repaint it (inpainting): where it is white. Of the image's size. */
  mask: PictureSchema.optional(),
  /** How much of the picture is redone: the share of the steps that run. @default 0.8, with a mask 1 */
  strength: bounded(LIMITS.strength).optional(),
  ...LORA_FIELDS,
  controls: ControlsSchema.optional(),
  /** Send `preview` events. It changes nothing of the images, so a job's request does not have it. */
  previews: flag().optional(),
})

/** As a client writes it. */
export type GenerateRequest = z.input<typeof GenerateRequestSchema>
/** With the defaults that do not depend on the model. */
export type ParsedRequest = z.output<typeof GenerateRequestSchema>

/** The engine's CheckpointOptions. */
export const ModelOptionsSchema = z.object({
  variant: z.string().optional(),
  configuration: z.string().optional(),
  vae: z.string().optional(),
})

/**
 * A request with every choice made: what a job runs, and what makes its image again. It has no pixels: of each picture it
 * has what tells it from others.
 */
export const ResolvedRequestSchema = z.object({
  ...PLAIN_FIELDS,
  /** The model's name for people. */
  model: z.string(),
  /** Its folder or file. */
  modelPath: z.string(),
  /** How it is opened, where it was registered with settings or the request has an autoencoder. */
  modelOptions: ModelOptionsSchema.optional(),
  /** As it was asked for; its path is among the model's options. */
  vae: z.string().optional(),
  width: z.number(),
  height: z.number(),
  numInferenceSteps: z.number(),
  guidanceScale: z.number(),
  seed: z.number(),
  image: PictureInfoSchema.optional(),
  mask: PictureInfoSchema.optional(),
  /** Always there with an image. */
  strength: z.number().optional(),
  ...LORA_FIELDS,
  /** Whether tags of the prompt were read as LoRAs; those are among `loras`, then, and no text. */
  loraTags: z.boolean(),
  loras: z.array(ResolvedLoraSchema),
  controls: z.array(ResolvedControlSchema),
})

export type ResolvedRequest = z.infer<typeof ResolvedRequestSchema>

/**
 * Validates a request.
 * @throws SwiftdError INVALID_REQUEST with one sentence about the first bad field; PROMPT_TOO_LONG
 */
export function parseGenerateRequest(value: unknown): ParsedRequest {
  const result = GenerateRequestSchema.safeParse(value)
  if (!result.success) throw new SwiftdError('INVALID_REQUEST', explainIssue(result.error, value, knownFields))
  const request = result.data
  for (const [what, prompt] of Object.entries({
    prompt: request.prompt,
    'second prompt': request.prompt2,
    'negative prompt': request.negativePrompt,
    'second negative prompt': request.negativePrompt2,
  })) {
    checkPromptLength(what, prompt ?? '')
  }
  checkTogether(request)
  return request
}

function knownFields([field]: readonly PropertyKey[]): readonly string[] {
  const shapes = { loras: LoraRequestSchema, controls: ControlRequestSchema, placement: PlacementSchema }
  return Object.keys((shapes[field as keyof typeof shapes] ?? GenerateRequestSchema).shape)
}

function checkPromptLength(what: string, prompt: string): void {
  if (prompt.length <= MAX_PROMPT_CHARACTERS) return
  throw new SwiftdError(
    'PROMPT_TOO_LONG',
    `The ${what} has ${prompt.length} characters; at most ${MAX_PROMPT_CHARACTERS} are allowed. Shorten it.`,
  )
}
