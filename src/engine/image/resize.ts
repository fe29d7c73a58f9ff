import sharp from 'sharp'
import { SwiftdError } from '../errors.js'
import { countColours, isBlackAndWhite, medianOfBorder, otsuThreshold } from './levels.js'
import type { GrayImage, RgbImage } from './pixels.js'
import { MAX_IMAGE_PIXELS } from './png.js'

/**
 * How a picture of another shape is brought to a size, as stable-diffusion-webui and sd-webui-controlnet mean it.
 * `just-resize` stretches it; `crop-and-resize` keeps its proportions and cuts off what sticks out, evenly on both sides;
 * `resize-and-fill` keeps its proportions and the whole picture, and fills the rest with the median colour of its border.
 */
export const RESIZE_MODES = ['just-resize', 'crop-and-resize', 'resize-and-fill'] as const
export type ResizeMode = (typeof RESIZE_MODES)[number]

/** The size that a picture is scaled to before it is cut or filled up to the frame's size. */
export interface ScaledSize {
  readonly width: number
  readonly height: number
}

/** Above so many colours a picture counts as a photo; below it is a map (segmentation) whose colours must not mix. */
const PHOTO_COLOURS = 200

/**
 * Brings a picture to `width` x `height` pixels.
 *
 * Photos are scaled with a Lanczos filter, which also averages when it shrinks. Maps of few colours (under 200) keep exactly
 * their colours (nearest neighbour). Black-and-white pictures such as edge maps are scaled smoothly and divided into black
 * and white again, so that thin lines survive (after `high_quality_resize` in sd-webui-controlnet's scripts/controlnet.py,
 * but lines that grow thicker are not thinned).
 * @throws SwiftdError INVALID_REQUEST if the picture is so narrow that scaling it would take over MAX_IMAGE_PIXELS pixels
 */
export async function resizeImage(image: RgbImage, width: number, height: number, mode: ResizeMode): Promise<RgbImage> {
  const scaled = await scaleImage(image, scaledSize(image, width, height, mode))
  return frameImage(scaled, width, height)
}

/**
 * The same for a mask. It is scaled with a linear filter, which neither breaks thin parts nor overshoots; a level of half
 * white then is where the outline lies between pixels.
 */
export async function resizeMask(mask: GrayImage, width: number, height: number, mode: ResizeMode): Promise<GrayImage> {
  const scaled = await scale(mask, scaledSize(mask, width, height, mode), 1, 'linear')
  return frame(scaled, width, height, 1)
}

/**
 * The size that a picture has before it is cut or filled, with sides rounded half to even as numpy does and of 1 at least.
 * @throws SwiftdError INVALID_REQUEST if that is over MAX_IMAGE_PIXELS pixels
 */
export function scaledSize(image: ScaledSize, width: number, height: number, mode: ResizeMode): ScaledSize {
  if (mode === 'just-resize') return { width, height }
  const factors = [width / image.width, height / image.height]
  const factor = mode === 'crop-and-resize' ? Math.max(...factors) : Math.min(...factors)
  const side = (length: number): number => Math.max(1, roundHalfToEven(length * factor))
  const size = { width: side(image.width), height: side(image.height) }
  if (size.width * size.height > MAX_IMAGE_PIXELS) {
    const sizes = `${image.width}x${image.height}, which is too narrow to be cropped to ${width}x${height}`
    throw new SwiftdError('INVALID_REQUEST', `The image is ${sizes}. Crop it before, or use resize-and-fill.`)
  }
  return size
}

/** Scales a picture, with the filter that suits it (see `resizeImage`). */
export async function scaleImage(image: RgbImage, size: ScaledSize): Promise<RgbImage> {
  if (size.width === image.width && size.height === image.height) return image
  if (isBlackAndWhite(image.data)) {
    const smooth = await scale(image, size, 3, 'lanczos3')
    const threshold = otsuThreshold(smooth.data)
    return { ...smooth, data: smooth.data.map((level) => (level > threshold ? 255 : 0)) }
  }
  const isPhoto = countColours(image.data, 3, PHOTO_COLOURS) >= PHOTO_COLOURS
  return scale(image, size, 3, isPhoto ? 'lanczos3' : 'nearest')
}

/** Cuts a scaled picture to a frame, or fills it up to it with the median colour of its border. Both are centred. */
export function frameImage(image: RgbImage, width: number, height: number): RgbImage {
  return frame(image, width, height, 3)
}

type Kernel = 'lanczos3' | 'linear' | 'nearest'

async function scale(image: RgbImage, size: ScaledSize, channels: 1 | 3, kernel: Kernel): Promise<RgbImage> {
  const { width, height } = image
  const { data } = await sharp(image.data, { raw: { width, height, channels }, limitInputPixels: false })
    .resize({ ...size, fit: 'fill', kernel })
    .toColourspace(channels === 1 ? 'b-w' : 'srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
  return { ...size, data }
}

function frame(image: RgbImage, width: number, height: number, channels: number): RgbImage {
  if (image.width === width && image.height === height) return image
  const cut = { x: centred(image.width, width), y: centred(image.height, height) }
  const put = { x: centred(width, image.width), y: centred(height, image.height) }
  const columns = Math.min(width, image.width)
  const data = new Uint8Array(width * height * channels)
  if (image.width < width || image.height < height) {
    const colour = medianOfBorder(image.data, image.width, image.height, channels)
    for (let at = 0; at < data.length; at += channels) data.set(colour, at)
  }
  for (let y = 0; y < Math.min(height, image.height); y++) {
    const from = ((cut.y + y) * image.width + cut.x) * channels
    data.set(image.data.subarray(from, from + columns * channels), ((put.y + y) * width + put.x) * channels)
  }
  return { width, height, data }
}

/** Where something of length `inner` begins in the middle of `outer`; 0 if it does not fit in. */
function centred(outer: number, inner: number): number {
  return Math.max(0, Math.floor((outer - inner) / 2))
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value)
  if (value - floor === 0.5) return floor + (floor % 2)
  return Math.round(value)
}
