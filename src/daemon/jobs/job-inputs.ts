import sharp from 'sharp'
import { SwiftdError } from '../../engine/errors.js'
import type { RgbImage } from '../../engine/image/pixels.js'
import type { GrayImage } from '../../engine/pipeline/mask.js'
import type { Preprocessor } from '../protocol/control-request.js'
import type { ResizeMode } from '../protocol/picture.js'
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
  const resized = (picture: RgbImage, mode: ResizeMode): Promise<RgbImage> => resize(picture, width, height, mode)
  return {
    ...(image && { image: await resized(image, resizeMode) }),
    ...(mask && { mask: toGray(await resized(mask, resizeMode)) }),
    controls: await Promise.all(
      controls.map(async (picture, index) => {
        const { preprocessor, resizeMode: mode } = settings[index]
        return preprocess(await resized(picture, mode), preprocessor)
      }),
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

async function resize(picture: RgbImage, width: number, height: number, mode: ResizeMode): Promise<RgbImage> {
  if (picture.width === width && picture.height === height) return picture
  if (mode !== 'just-resize')
    throw new SwiftdError('INVALID_REQUEST', `The resize mode ${mode} is not known; use just-resize.`)
  const data = await sharp(picture.data, { raw: { width: picture.width, height: picture.height, channels: 3 } })
    .resize(width, height, { fit: 'fill', kernel: 'lanczos3' })
    .raw()
    .toBuffer()
  return { width, height, data }
}

function preprocess(picture: RgbImage, preprocessor: Preprocessor): RgbImage {
  if (preprocessor === 'none') return picture
  throw new SwiftdError('INVALID_REQUEST', `The preprocessor ${preprocessor} is not known; use none.`)
}
