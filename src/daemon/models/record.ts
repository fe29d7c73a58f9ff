import { z } from 'zod'

const text = z.string().min(1)
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)

/** Where a pulled model came from, and what of it `model rm` may delete. */
const PulledSchema = z.object({
  /** `owner/name` on the hub. */
  repository: text,
  /** The commit that was pulled. */
  commit: z.string().regex(/^[0-9a-f]{40}$/),
  /** Root of the hub cache that the files lie in. */
  cacheDirectory: text,
  /** Paths in the repository of the files that swiftd downloaded; what lay in the cache before is not its own. */
  files: z.array(text),
})

/** What the records of all kinds say. Weights stay where they are; the record says where that is. */
const named = {
  /** The full name, `name:tag`. */
  name: text,
  /** Absolute path of a diffusers folder or of a .safetensors file. */
  path: text,
  kind: z.enum(['folder', 'file']),
  /** When it was registered, as an ISO 8601 date. */
  added: z.iso.datetime(),
  /** SHA-256 of a single file, or of a list of a folder's weights files with theirs. */
  digest: sha256,
  /** Size of the weights. */
  bytes: z.int().min(0),
  /** How the weights are stored, such as F16; several are joined by a comma. */
  dtype: text,
}

const family = z.enum(['sd1', 'sd2', 'sdxl'])

/** A registered model: one JSON file of the store. */
export const ModelRecordSchema = z.object({
  ...named,
  family,
  /** For single files: the diffusers folder that configures them. */
  configuration: text.optional(),
  /** An autoencoder that replaces the model's own. */
  vae: text.optional(),
  /** Which weights of a folder are used, such as fp16. */
  variant: text.optional(),
  pulled: PulledSchema.optional(),
})

/** A registered LoRA or ControlNet. */
export const AdapterRecordSchema = z.object({
  ...named,
  /** The models that it is for, as far as its sizes tell. */
  family: family.optional(),
})

export type NamedRecord = z.infer<z.ZodObject<typeof named>>
export type ModelFamily = z.infer<typeof family>
export type ModelRecord = z.infer<typeof ModelRecordSchema>
export type AdapterRecord = z.infer<typeof AdapterRecordSchema>
export type PulledFiles = z.infer<typeof PulledSchema>
