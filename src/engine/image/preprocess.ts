import { SwiftdError } from '../errors.js'
import { cannyEdges } from './canny.js'
import type { RgbImage } from './pixels.js'
import { frameImage, scaledSize, scaleImage, type ResizeMode } from './resize.js'

/**
 * What is done to a picture before a ControlNet sees it. `none`: it is a control picture already. `canny`: its edges, white
 * on black. `invert`: its negative, for line drawings in black on white.
 */
export const PREPROCESSORS = ['none', 'canny', 'invert'] as const
export type Preprocessor = (typeof PREPROCESSORS)[number]

/** OpenCV's gradients reach 2040: 8 times 255. The defaults are those of lllyasviel's ControlNet. */
export const DEFAULT_CANNY_THRESHOLDS = { low: 100, high: 200 } as const

export interface ControlImageOptions {
  /** Pixels of the generated picture. */
  readonly width: number
  readonly height: number
  readonly resizeMode: ResizeMode
  readonly preprocessor: Preprocessor
  /** Of `canny`. @default 100 */
  readonly lowThreshold?: number
  /** Of `canny`. @default 200 */
  readonly highThreshold?: number
}

/**
 * A picture as a ControlNet takes it, of the generated picture's size.
 *
 * It is scaled first, so that edges are one pixel wide at the final size, and cut or filled last, so that filling adds no
 * edges around the picture.
 * @throws SwiftdError INVALID_REQUEST if the thresholds are no numbers from 0 on in ascending order, or see `resizeImage`
 */
export async function prepareControlImage(image: RgbImage, options: ControlImageOptions): Promise<RgbImage> {
  const { width, height, resizeMode, preprocessor } = options
  const low = options.lowThreshold ?? DEFAULT_CANNY_THRESHOLDS.low
  const high = options.highThreshold ?? DEFAULT_CANNY_THRESHOLDS.high
  if (preprocessor === 'canny' && !(low >= 0 && low <= high && Number.isFinite(high))) {
    const sentence = `Canny thresholds of ${low} and ${high} are not numbers from 0 on, the low one first.`
    throw new SwiftdError('INVALID_REQUEST', `${sentence} Take for example 100 and 200.`)
  }
  const scaled = await scaleImage(image, scaledSize(image, width, height, resizeMode))
  const processed = await process(scaled, preprocessor, { low, high })
  return frameImage(processed, width, height)
}

async function process(
  image: RgbImage,
  preprocessor: Preprocessor,
  thresholds: { readonly low: number; readonly high: number },
): Promise<RgbImage> {
  switch (preprocessor) {
    case 'none':
      return image
    case 'canny':
      return cannyEdges(image, thresholds)
    case 'invert':
      return { ...image, data: image.data.map((level) => 255 - level) }
  }
}
