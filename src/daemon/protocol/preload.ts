import { z } from 'zod'
import { bounded, text } from './fields.js'
import { LIMITS } from './limits.js'

/** The body of POST /v1/preload: what jobs should find ready. */
export const PreloadRequestSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('lora'),
    /** Names or absolute paths. */
    names: z.array(text('the name or absolute path of a LoRA')).min(1),
    /** Compute the overlays for this model; without it the files are only read and checked. */
    model: text('the name or path of a model').optional(),
    scale: bounded(LIMITS.loraScale).default(1),
    /** One overlay of all of them, as a job with all of them uses it, instead of one for each. */
    together: z.boolean().default(false),
  }),
  z.strictObject({
    kind: z.literal('controlnet'),
    names: z.array(text('the name or absolute path of a ControlNet')).min(1),
    /** The model that they are used with. */
    model: text('the name or path of a model'),
    /** Keep them whatever the memory budget says; false lets them go again. */
    pinned: z.boolean().optional(),
  }),
])
export type PreloadRequest = z.input<typeof PreloadRequestSchema>
export type ParsedPreload = z.output<typeof PreloadRequestSchema>

/** One thing that is ready. */
export const PreloadedSchema = z.object({
  name: z.string(),
  /** Absent where a file was only read. */
  device: z.string().optional(),
  /** It was ready before. */
  cached: z.boolean(),
  /** What it takes in memory. */
  bytes: z.number(),
  elapsedMs: z.number(),
})
export type Preloaded = z.infer<typeof PreloadedSchema>

export const PreloadAnswerSchema = z.object({ preloaded: z.array(PreloadedSchema) })
