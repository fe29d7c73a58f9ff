import { z } from 'zod'
import { SwiftdError } from '../../engine/errors.js'
import { describeRange, isInRange, LIMITS, MAX_PROMPT_CHARACTERS, type NumberRange } from './limits.js'

/** A number of the limits table, refused with the table's sentence. */
function bounded(range: NumberRange) {
  const error = `must be ${describeRange(range)}`
  return z.number({ error }).refine((value) => isInRange(value, range), { error })
}

function text(what: string) {
  return z.string({ error: `must be ${what}` })
}

/**
 * What a client asks for: the fields of a diffusers pipeline call, camel-cased. Optional fields follow from the model:
 * its native size, its usual number of steps and guidance scale, its own scheduler, and a random seed.
 * Fields that do not exist are refused, so that a misspelled one is not silently ignored.
 */
export const GenerateRequestSchema = z.strictObject({
  prompt: text('the text to draw'),
  /** Absent is not the same as empty for SDXL, whose models may want all-zero embeddings then, as in diffusers. */
  negativePrompt: text('a text').optional(),
  /** A name that the daemon knows or the path of a model's folder or file. */
  model: text('the name or path of a model').min(1).default('demo'),
  /** Pixels. */
  width: bounded(LIMITS.width).optional(),
  /** Pixels. */
  height: bounded(LIMITS.height).optional(),
  numInferenceSteps: bounded(LIMITS.numInferenceSteps).optional(),
  /** How strongly the image follows the prompt; 1 and less turn guidance off. */
  guidanceScale: bounded(LIMITS.guidanceScale).optional(),
  /** Image i of a request gets seed + i. */
  seed: bounded(LIMITS.seed).optional(),
  /** A sampler in any spelling that diffusers, A1111 or ComfyUI use. */
  scheduler: text('the name of a sampler').min(1).optional(),
  clipSkip: bounded(LIMITS.clipSkip).optional(),
  numImages: bounded(LIMITS.numImages).default(1),
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

/** A request with every choice made: what a job runs, and what makes its image again. */
export const ResolvedRequestSchema = z.object({
  prompt: z.string(),
  negativePrompt: z.string().optional(),
  /** The model's name for people. */
  model: z.string(),
  /** Its folder or file. */
  modelPath: z.string(),
  /** How it is opened, where it was registered with settings. */
  modelOptions: ModelOptionsSchema.optional(),
  width: z.number(),
  height: z.number(),
  numInferenceSteps: z.number(),
  guidanceScale: z.number(),
  seed: z.number(),
  scheduler: z.string().optional(),
  clipSkip: z.number().optional(),
  numImages: z.number(),
})

export type ResolvedRequest = z.infer<typeof ResolvedRequestSchema>

/**
 * Validates a request.
 * @throws SwiftdError INVALID_REQUEST with one sentence about the first bad field; PROMPT_TOO_LONG
 */
export function parseGenerateRequest(value: unknown): ParsedRequest {
  const result = GenerateRequestSchema.safeParse(value)
  if (!result.success) throw new SwiftdError('INVALID_REQUEST', explain(result.error, value))
  const request = result.data
  checkPromptLength('prompt', request.prompt)
  checkPromptLength('negative prompt', request.negativePrompt ?? '')
  return request
}

function checkPromptLength(what: string, prompt: string): void {
  if (prompt.length <= MAX_PROMPT_CHARACTERS) return
  throw new SwiftdError(
    'PROMPT_TOO_LONG',
    `The ${what} has ${prompt.length} characters; at most ${MAX_PROMPT_CHARACTERS} are allowed. Shorten it.`,
  )
}

function explain(error: z.ZodError, value: unknown): string {
  const [issue] = error.issues
  if (issue.code === 'unrecognized_keys') {
    return `The request has the unknown field "${issue.keys[0]}"; known are ${Object.keys(GenerateRequestSchema.shape).join(', ')}.`
  }
  const field = issue.path[0]
  if (typeof field !== 'string' || !isRecord(value)) return 'The request must be a JSON object with at least a prompt.'
  const given = field in value ? `, not ${shorten(JSON.stringify(value[field]))}` : ', but it is missing'
  return `${field} ${issue.message}${given}.`
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 77)}…` : text
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
