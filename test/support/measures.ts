import sharp from 'sharp'
import { cannyEdges } from '../../src/engine/image/canny.js'
import type { RgbImage } from '../../src/engine/image/pixels.js'

/** Where something is, pixel by pixel. */
export interface PixelSet {
  readonly width: number
  readonly height: number
  /** 1 or 0 for each pixel. */
  readonly data: Uint8Array
}

/** The white pixels of an edge map. */
export function edgePixels({ width, height, data }: RgbImage): PixelSet {
  return { width, height, data: Uint8Array.from({ length: width * height }, (_, i) => (data[3 * i] > 127 ? 1 : 0)) }
}

/** The edges of a picture after a Gaussian blur of deviation 1, at the thresholds of the demo model's recipe (renderer.py). */
export async function blurredEdges({ width, height, data }: RgbImage): Promise<PixelSet> {
  const blurred = await sharp(data, { raw: { width, height, channels: 3 } })
    .blur(1)
    .raw()
    .toBuffer()
  return edgePixels(await cannyEdges({ width, height, data: blurred }, { low: 60, high: 140 }))
}

/**
 * F1 score of found edges: found pixels count as right if a wanted one is within `tolerance` steps to the side or up and
 * down, and wanted ones as found likewise (evaluate.py of the demo model's recipe).
 */
export function edgeF1(found: PixelSet, wanted: PixelSet, tolerance = 2): number {
  const share = (of: PixelSet, near: PixelSet): number => {
    const grown = dilate(near, tolerance)
    const count = of.data.reduce((sum, bit) => sum + bit, 0)
    return of.data.reduce((sum, bit, i) => sum + (bit & grown[i]), 0) / Math.max(count, 1)
  }
  const precision = share(found, wanted)
  const recall = share(wanted, found)
  return (2 * precision * recall) / Math.max(precision + recall, 1e-9)
}

/** All pixels within `steps` steps, each to one of the four neighbours. */
function dilate({ width, height, data }: PixelSet, steps: number): Uint8Array {
  let current = data
  for (let step = 0; step < steps; step++) {
    const before = current
    current = Uint8Array.from(before, (bit, i) => {
      const x = i % width
      const left = x > 0 ? before[i - 1] : 0
      const right = x < width - 1 ? before[i + 1] : 0
      const above = i >= width ? before[i - width] : 0
      const below = i < (height - 1) * width ? before[i + width] : 0
      return bit | left | right | above | below
    })
  }
  return current
}

/** The mean of all levels, 0 to 255. */
export function meanBrightness({ data }: RgbImage): number {
  return data.reduce((sum, level) => sum + level, 0) / data.length
}

/** The cosine of the angle between two tensors of equal size. */
export function cosine(a: Float32Array, b: Float32Array): number {
  let dot = 0
  let squareA = 0
  let squareB = 0
  a.forEach((value, i) => {
    dot += value * b[i]
    squareA += value * value
    squareB += b[i] * b[i]
  })
  return dot / Math.sqrt(squareA * squareB)
}
