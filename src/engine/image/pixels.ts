import { SwiftdError } from '../errors.js'

/** A picture of 8-bit red, green and blue, row by row without padding. */
export interface RgbImage {
  readonly width: number
  readonly height: number
  /** 3 * width * height bytes. */
  readonly data: Uint8Array
}

/** A picture of 8-bit grey levels, row by row without padding. */
export interface GrayImage {
  readonly width: number
  readonly height: number
  /** width * height bytes. */
  readonly data: Uint8Array
}

/** Pictures as the networks take them. */
export interface PixelTensor {
  /** (N, 3, H, W) */
  readonly dims: readonly number[]
  readonly data: Float32Array
}

/** `signed` is -1..1 as the VAE takes it, `unit` is 0..1 as a ControlNet's conditioning takes it. */
export type PixelRange = 'signed' | 'unit'

/**
 * Turns decoded pictures, (N, 3, H, W) in about -1..1, into 8-bit ones.
 *
 * The same arithmetic in float32 as diffusers' VaeImageProcessor (image_processor.py: denormalize, pt_to_numpy,
 * numpy_to_pil): x / 2 + 0.5, clamped to 0..1, times 255, rounded half to even. A value that is no number becomes 0.
 */
export function toRgbImages(pixels: PixelTensor): RgbImage[] {
  const [count, channels, height, width] = pixels.dims
  const area = height * width
  if (pixels.dims.length !== 4 || channels !== 3 || pixels.data.length !== count * 3 * area) {
    throw new TypeError(`${pixels.data.length} values of shape [${pixels.dims.join(', ')}] are not RGB pictures`)
  }
  return Array.from({ length: count }, (_, index) => {
    const data = new Uint8Array(3 * area)
    for (let channel = 0; channel < 3; channel++) {
      const plane = (index * 3 + channel) * area
      for (let i = 0; i < area; i++) data[3 * i + channel] = toLevel(pixels.data[plane + i])
    }
    return { width, height, data }
  })
}

/**
 * Turns 8-bit pictures of one size into (N, 3, H, W), as diffusers' VaeImageProcessor does (image_processor.py:
 * pil_to_numpy, normalize): x / 255 and, for `signed`, 2x - 1, in float32.
 * @throws SwiftdError INVALID_REQUEST if the pictures differ in size
 */
export function fromRgbImages(images: readonly RgbImage[], range: PixelRange): PixelTensor {
  const { width, height } = images[0] ?? { width: 0, height: 0 }
  const area = width * height
  const values = LEVELS[range]
  const data = new Float32Array(images.length * 3 * area)
  images.forEach((image, index) => {
    if (image.width !== width || image.height !== height) {
      const sizes = `${width}x${height} and ${image.width}x${image.height}`
      throw new SwiftdError('INVALID_REQUEST', `The images have different sizes (${sizes}). Give them one size.`)
    }
    for (let channel = 0; channel < 3; channel++) {
      const plane = (index * 3 + channel) * area
      for (let i = 0; i < area; i++) data[plane + i] = values[image.data[3 * i + channel]]
    }
  })
  return { dims: [images.length, 3, height, width], data }
}

/** The float32 value of each of the 256 levels. Storing into a Float32Array rounds to float32. */
const unit = Float32Array.from({ length: 256 }, (_, level) => level / 255)
const LEVELS: Readonly<Record<PixelRange, Float32Array>> = {
  unit,
  signed: unit.map((value) => 2 * value - 1),
}

function toLevel(value: number): number {
  const brightness = Math.min(Math.max(Math.fround(value / 2 + 0.5), 0), 1)
  const scaled = Math.fround(brightness * 255)
  const floor = Math.floor(scaled)
  const rest = scaled - floor
  if (rest === 0.5) return floor + (floor % 2)
  return rest > 0.5 ? floor + 1 : floor
}
