import type { GrayImage } from '../image/pixels.js'

export type { GrayImage } from '../image/pixels.js'

/** 1 where a mask repaints (at least half white), else 0, for each pixel. */
export function pixelMask({ data }: GrayImage): Float32Array {
  return Float32Array.from(data, (level) => (level / 255 >= 0.5 ? 1 : 0))
}

/** The mask at latent size, by nearest neighbour as torch's interpolate takes it. */
export function latentMask(mask: GrayImage, height: number, width: number): Float32Array {
  const pixels = pixelMask(mask)
  const reduced = new Float32Array(height * width)
  for (let y = 0; y < height; y++) {
    const row = Math.floor((y * mask.height) / height) * mask.width
    for (let x = 0; x < width; x++) reduced[y * width + x] = pixels[row + Math.floor((x * mask.width) / width)]
  }
  return reduced
}
