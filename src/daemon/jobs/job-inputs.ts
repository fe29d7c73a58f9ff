import type { RgbImage } from '../../engine/image/pixels.js'
import { prepareControlImage } from '../../engine/image/preprocess.js'
import { resizeImage, resizeMask } from '../../engine/image/resize.js'
import type { GrayImage } from '../../engine/pipeline/mask.js'
import type { ResolvedRequest } from '../protocol/request.js'

/** The pixels of a job, all of the request's size. */
export interface JobInputs {
  readonly image?: RgbImage
  readonly mask?: GrayImage
  /** What each ControlNet of the request sees, in their order. */
  readonly controls: readonly RgbImage[]
  /** The client wants to see what the latents may become. */
  readonly previews?: boolean
}

export const NO_INPUTS: JobInputs = { controls: [] }

/** The pictures of a request as they were sent. */
export interface DecodedPictures {
  readonly image?: RgbImage
  readonly mask?: RgbImage
  readonly controls: readonly RgbImage[]
}

/**
 * Resizes the pictures of a request to its size and preprocesses those of its ControlNets.
 * @throws SwiftdError INVALID_REQUEST
 */
export async function prepareInputs(
  { image, mask, controls }: DecodedPictures,
  { width, height, resizeMode, controls: settings }: ResolvedRequest,
): Promise<JobInputs> {
  return {
    ...(image && { image: await resizeImage(image, width, height, resizeMode) }),
    ...(mask && { mask: await resizeMask(toGray(mask), width, height, resizeMode) }),
    controls: await Promise.all(
      controls.map((picture, index) => prepareControlImage(picture, { ...settings[index], width, height })),
    ),
  }
}

/** PIL's `convert("L")`: ITU-R 601-2 luma in fixed point (libImaging/Convert.c, L24). */
export function toGray({ width, height, data }: RgbImage): GrayImage {
  const gray = new Uint8Array(width * height)
  for (let i = 0; i < gray.length; i++) {
    gray[i] = (data[3 * i] * 19595 + data[3 * i + 1] * 38470 + data[3 * i + 2] * 7471 + 0x8000) >> 16
  }
  return { width, height, data: gray }
}
