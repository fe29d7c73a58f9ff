import { z } from 'zod'
import { ResidentKindSchema } from '../protocol/status.js'

/** What a worker tells of its device's memory. */

/** Something that takes memory on a device. */
export const ResidentSchema = z.object({
  kind: ResidentKindSchema,
  path: z.string(),
  /** lora: the model that the overlay is for, and the LoRAs that it is made of. */
  model: z.string().optional(),
  parts: z.array(z.object({ path: z.string(), scale: z.number() })).optional(),
  byteLength: z.number(),
  /** How many use it at this moment. */
  uses: z.number(),
  pinned: z.boolean(),
  /** When it was last asked for, in milliseconds since the epoch. */
  lastUsed: z.number(),
})
export type Resident = z.infer<typeof ResidentSchema>

/** Something that a worker released though it could have been used again; the engine's Evicted. */
export const EvictedSchema = z.object({
  kind: ResidentKindSchema,
  path: z.string(),
  byteLength: z.number(),
  /** What needed its memory; absent where it was over its cache's budget. */
  neededFor: z.string().optional(),
})
