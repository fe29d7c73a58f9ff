/** Tiles of a large picture, in latents. */
export interface Tiling {
  /** Side of a tile. */
  readonly tile: number
  /** How far neighbours overlap; over this width they fade into each other. */
  readonly overlap: number
}

/**
 * Above this side, in latents, pictures are decoded in tiles: the autoencoder's activations grow with the area (about
 * 1 GiB for each 64 x 64 latents of an SD autoencoder in float32), its attention with the area's square.
 */
export const TILE_ABOVE = 128

/**
 * Tiles of 768 x 768 pixels, which take half the memory of the largest picture that is decoded as a whole.
 *
 * Tiles differ from the whole picture since the autoencoder's group norms and its attention see only the tile. That is so
 * everywhere in a tile and not only at its edges: a wider overlap or another curve of blending changes nothing, larger tiles
 * do. Three pictures of the demo model of 1088 x 1088 pixels differ from the whole decode, of a range of 2, by
 *
 *     tile 64, overlap 16:  0.67, 0.22, 0.07 at most   0.011, 0.006, 0.003 on average
 *     tile 96, overlap 16:  0.49, 0.24, 0.05 at most   0.007, 0.005, 0.002 on average
 */
export const DEFAULT_TILING: Tiling = { tile: 96, overlap: 16 }

/** Whether to decode in tiles: as the size demands, always, or never. */
export type VaeTiling = 'auto' | 'on' | 'off'

/** Tiles of 512 x 512 pixels: who asks for tiles has little memory. */
export const SMALL_TILING: Tiling = { tile: 64, overlap: 16 }

/** The tiles of an image of a size in latents, or undefined to decode it as a whole. */
export function chooseTiling(choice: VaeTiling, height: number, width: number): Tiling | undefined {
  if (choice === 'on') return SMALL_TILING
  return choice === 'auto' && Math.max(height, width) > TILE_ABOVE ? DEFAULT_TILING : undefined
}

/** Where tiles begin along one axis: evenly spaced, the first at 0 and the last ending at `length`. */
export function tileStarts(length: number, { tile, overlap }: Tiling): number[] {
  if (length <= tile) return [0]
  const count = Math.ceil((length - overlap) / (tile - overlap))
  return Array.from({ length: count }, (_, index) => Math.round((index * (length - tile)) / (count - 1)))
}

/**
 * How much of each pixel a tile gives, along one axis: 1 inside, rising linearly over the overlap at edges that have a
 * neighbour. Never 0, so that every pixel can be divided by its sum.
 */
export function tileWeights(start: number, size: number, length: number, fade: number): Float32Array {
  const weights = new Float32Array(size).fill(1)
  const ramp = Math.min(fade, size)
  for (let i = 0; i < ramp; i++) {
    const weight = (i + 0.5) / ramp
    if (start > 0) weights[i] = Math.min(weights[i], weight)
    if (start + size < length) weights[size - 1 - i] = Math.min(weights[size - 1 - i], weight)
  }
  return weights
}

/** Collects overlapping tiles of an image of `channels` planes; where they overlap they are averaged by their weights. */
export function createTileBlend(channels: number, height: number, width: number) {
  const sums = new Float32Array(channels * height * width)
  const weights = new Float32Array(height * width)
  return {
    /** Adds a tile, (channels, rows.length, columns.length), whose first pixel lies at (top, left). */
    add(tile: Float32Array, top: number, left: number, rows: Float32Array, columns: Float32Array): void {
      const area = rows.length * columns.length
      for (let y = 0; y < rows.length; y++) {
        for (let x = 0; x < columns.length; x++) {
          const weight = rows[y] * columns[x]
          const at = (top + y) * width + left + x
          weights[at] += weight
          for (let channel = 0; channel < channels; channel++) {
            sums[channel * height * width + at] += weight * tile[channel * area + y * columns.length + x]
          }
        }
      }
    },
    /** The blended image. */
    finish(): Float32Array {
      for (let i = 0; i < sums.length; i++) sums[i] /= weights[i % weights.length]
      return sums
    },
  }
}
