import { z } from 'zod'
import { bounded, flag, text } from './fields.js'
import { isLoraBound, LIMITS, LORA_BOUND, MAX_LORAS } from './limits.js'

/** A LoRA of a request: a registered name or an absolute path, and how strongly it acts. */
export const LoraRequestSchema = z.strictObject({
  name: text('the name or absolute path of a LoRA').min(1, 'must be the name or absolute path of a LoRA'),
  /** Of the UNet's part. */
  scale: bounded(LIMITS.loraScale).default(1),
  /** Of the text encoders' part. @default scale */
  textEncoderScale: bounded(LIMITS.loraScale).optional(),
})
export type LoraRequest = z.input<typeof LoraRequestSchema>

/** The fields of a request that are about LoRAs. */
export const LORA_FIELDS = {
  loras: z
    .array(LoraRequestSchema, { error: 'must be a list of LoRAs such as {"name": "stripes", "scale": 0.8}' })
    .max(MAX_LORAS, { error: `must be a list of at most ${MAX_LORAS} LoRAs` })
    .optional(),
  /** Read `<lora:name:scale>` in the prompt as entries of `loras`. @default true in the a1111 prompt syntax */
  loraTags: flag().optional(),
  /**
   * How many steps may run before LoRAs that are still loading take effect: steps, or a share of the steps if below 1.
   * 0, the default, waits for them: the exact image.
   */
  loraBound: z
    .number({ error: `must be ${LORA_BOUND}` })
    .refine(isLoraBound, { error: `must be ${LORA_BOUND}` })
    .optional(),
  /** The step at which they take effect, whenever they are loaded. */
  loraAt: bounded(LIMITS.loraAt).optional(),
  /** Take LoRAs of which only some layers fit the model. */
  loraPartial: flag().optional(),
}

/** A LoRA of a job. */
export const ResolvedLoraSchema = z.object({
  name: z.string(),
  path: z.string(),
  scale: z.number(),
  textEncoderScale: z.number(),
  /** It was named by a tag of the prompt, which names it again when the request is made again. */
  inPrompt: z.boolean().optional(),
})
export type ResolvedLora = z.infer<typeof ResolvedLoraSchema>
