import { z } from 'zod'
import { ResolvedRequestSchema } from './request.js'

/** The keyword of the PNG text chunk that has an image's record. */
export const RECORD_KEYWORD = 'swiftd'

/** What a PNG says about how it was made, as JSON: all that makes the same pixels again. */
export const ImageRecordSchema = z.object({
  /** The version of swiftd. */
  version: z.string(),
  request: ResolvedRequestSchema,
  /** Which image of the request it is, from 0. */
  index: z.number(),
  seed: z.number(),
  /** The step at which LoRAs took effect, where the request left it open. */
  loraPatchStep: z.number().optional(),
})
export type ImageRecord = z.infer<typeof ImageRecordSchema>
