import { z } from 'zod'
import type { RESIZE_MODES } from './words.js'

export type ResizeMode = (typeof RESIZE_MODES)[number]

/** A PNG, JPEG or WebP file in base64, perhaps as a data URL; or that with the path that it was read from. */
export type PictureInput = string | { readonly data: string; readonly path?: string }

/** A picture of a request. The path is only recorded, for `--from`; nobody reads it but the client that has it. */
export const PictureSchema = z.custom<PictureInput>(isPicture, {
  error: 'must be a PNG, JPEG or WebP in base64, or {"data": base64, "path": where it was}',
})

/** What is left of a picture once it is decoded: enough to know it again. */
export const PictureInfoSchema = z.object({
  /** Of the file, in hex. */
  sha256: z.string(),
  /** Pixels, before resizing. */
  width: z.number(),
  height: z.number(),
  /** Where the client read it, if it said so. */
  path: z.string().optional(),
})
export type PictureInfo = z.infer<typeof PictureInfoSchema>

function isPicture(value: unknown): value is PictureInput {
  if (typeof value === 'string') return value !== ''
  if (typeof value !== 'object' || value === null || !('data' in value) || typeof value.data !== 'string') return false
  return value.data !== '' && (!('path' in value) || value.path === undefined || typeof value.path === 'string')
}

/** The bytes of a picture's file. What is no base64 gives bytes that are no picture. */
export function pictureBytes(picture: PictureInput): Buffer {
  const data = typeof picture === 'string' ? picture : picture.data
  return Buffer.from(data.slice(data.startsWith('data:') ? data.indexOf(',') + 1 : 0), 'base64')
}
