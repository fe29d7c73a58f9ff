import { z } from 'zod'
import { ControlSettingsSchema } from './control-request.js'
import { PictureSchema } from './picture.js'
import { GenerateRequestSchema } from './request.js'

/** Asks what makes a PNG again. */
export const RecipeRequestSchema = z.strictObject({ image: PictureSchema })

/** A picture that is needed again: whoever asks has to find it. */
export const SourcePictureSchema = z.object({
  /** Of its file, in hex. Absent where nothing is known of it. */
  sha256: z.string().optional(),
  path: z.string().optional(),
})
export type SourcePicture = z.infer<typeof SourcePictureSchema>

/** What makes an image again, read from its metadata. */
export const RecipeSchema = z.object({
  /** Without the pictures. */
  request: GenerateRequestSchema.omit({ image: true, mask: true, controls: true }),
  image: SourcePictureSchema.optional(),
  mask: SourcePictureSchema.optional(),
  controls: z.array(z.object({ settings: ControlSettingsSchema, picture: SourcePictureSchema })),
  /** Which image of the request it is, from 0. */
  index: z.number(),
  /** What to put into the request to make the image without the others of its batch, but for rounding. */
  alone: z.object({ seed: z.number().optional(), variationSeed: z.number().optional() }),
  /** What a person should know. */
  notes: z.array(z.string()),
})
export type Recipe = z.infer<typeof RecipeSchema>
