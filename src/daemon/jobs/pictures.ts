import { createHash } from 'node:crypto'
import { SwiftdError } from '../../engine/errors.js'
import type { RgbImage } from '../../engine/image/pixels.js'
import { decodeImage } from '../../engine/image/png.js'
import { LIMITS } from '../protocol/limits.js'
import { pictureBytes, type PictureInfo, type PictureInput } from '../protocol/picture.js'
import type { ParsedRequest } from '../protocol/request.js'

/** A picture of a request: its pixels, and what is recorded of it. */
export interface DecodedPicture {
  readonly pixels: RgbImage
  readonly info: PictureInfo
}

export interface RequestPictures {
  readonly image?: DecodedPicture
  readonly mask?: DecodedPicture
  readonly controls: readonly DecodedPicture[]
}

/**
 * Decodes all pictures of a request.
 * @throws SwiftdError INVALID_REQUEST that says which picture is damaged, or that the mask has another size than the image
 */
export async function decodePictures({ image, mask, controls = [] }: ParsedRequest): Promise<RequestPictures> {
  const pictures = {
    ...(image && { image: await decode('The image', image) }),
    ...(mask && { mask: await decode('The mask', mask) }),
    controls: await Promise.all(
      controls.map((control) => decode(`The image for the ControlNet "${control.controlNet}"`, control.image)),
    ),
  }
  checkMaskSize(pictures)
  return pictures
}

/**
 * The size of an image that is made from a picture, where the request gives none: the picture's own, rounded down to a
 * multiple of 8 as diffusers does.
 * @throws SwiftdError INVALID_REQUEST if the picture is too small or too large to be taken as it is
 */
export function sizeOfPicture({ info }: DecodedPicture, given: { readonly width?: number; readonly height?: number }) {
  const down = (length: number, { multipleOf }: { readonly multipleOf: number }): number =>
    length - (length % multipleOf)
  const size = { width: down(info.width, LIMITS.width), height: down(info.height, LIMITS.height) }
  for (const side of ['width', 'height'] as const) {
    const { min, max } = LIMITS[side]
    if (given[side] !== undefined || (size[side] >= min && size[side] <= max)) continue
    const limits = `but images have ${min} to ${max} pixels in each direction`
    throw new SwiftdError('INVALID_REQUEST', `The image is ${info.width}x${info.height}, ${limits}; give a ${side}.`)
  }
  return size
}

async function decode(what: string, picture: PictureInput): Promise<DecodedPicture> {
  const bytes = pictureBytes(picture)
  const path = typeof picture === 'string' ? undefined : picture.path
  try {
    const pixels = await decodeImage(bytes)
    const { width, height } = pixels
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    return { pixels, info: { sha256, width, height, ...(path !== undefined && { path }) } }
  } catch (error) {
    if (!(error instanceof SwiftdError)) throw error
    const name = path === undefined ? what : `${what} (${path})`
    throw new SwiftdError(error.code, error.message.replace('The image', name), { cause: error })
  }
}

function checkMaskSize({ image, mask }: RequestPictures): void {
  if (!image || !mask) return
  const [ours, theirs] = [mask, image].map(({ info: { width, height } }) => `${width}x${height}`)
  if (ours === theirs) return
  throw new SwiftdError(
    'INVALID_REQUEST',
    `The mask is ${ours}, but the image ${theirs}; give a mask of the image's size.`,
  )
}
