import { concatenate } from '../tensor.js'
import type { Checkpoint } from '../weights/checkpoint.js'
import { autoencoderOf, checkFinite } from './check-finite.js'
import type { Stages } from './stages.js'
import { chooseTiling, createTileBlend, tileStarts, tileWeights, type Tiling, type VaeTiling } from './vae-tiling.js'

export type LatentDims = readonly [count: number, channels: number, height: number, width: number]

/** Shape of the latents of `count` images of a size in pixels. */
export function latentDims(
  { unet, vaeScale }: Checkpoint,
  { width, height }: { readonly width: number; readonly height: number },
  count: number,
): LatentDims {
  return [count, unet.config.out_channels, height / vaeScale, width / vaeScale]
}

/**
 * Decodes latents (N, C, h, w) image by image, which bounds the memory, and large images tile by tile.
 * @param tiling how to tile; `auto` decides by the size
 * @returns (N, 3, H, W) in about -1..1
 * @throws SwiftdError INVALID_WEIGHTS or NOT_FINITE if the latents or the pixels are no numbers; what the stages throw
 */
export async function decodeLatents(
  checkpoint: Checkpoint,
  stages: Stages,
  latents: Float32Array,
  dims: LatentDims,
  tiling: Tiling | VaeTiling = 'auto',
): Promise<Float32Array> {
  const { textEncoders, unet, vae } = checkpoint
  const { halfPrecision } = stages
  await checkFinite('The latents', latents, { ingredients: [unet, ...textEncoders], halfPrecision })
  const [count, channels, height, width] = dims
  const chosen = typeof tiling === 'string' ? chooseTiling(tiling, height, width) : tiling
  const perImage = channels * height * width
  const scaled = latents.map((value) => value / vae.config.scaling_factor)
  const images: Float32Array[] = []
  for (let image = 0; image < count; image++) {
    const one = { values: scaled.subarray(image * perImage, (image + 1) * perImage), channels, height, width }
    images.push(
      chosen
        ? await decodeInTiles(checkpoint.vaeScale, stages, one, chosen)
        : await decodePart(stages, one, { top: 0, left: 0, height, width }),
    )
  }
  const decoded = concatenate(images)
  await checkFinite('The pixels', decoded, autoencoderOf(checkpoint, stages))
  return decoded
}

/** Unscaled latents of one image, (C, h, w). */
interface ImageLatents {
  readonly values: Float32Array
  readonly channels: number
  readonly height: number
  readonly width: number
}

interface Rectangle {
  readonly top: number
  readonly left: number
  readonly height: number
  readonly width: number
}

async function decodeInTiles(
  scale: number,
  stages: Stages,
  image: ImageLatents,
  tiling: Tiling,
): Promise<Float32Array> {
  const blend = createTileBlend(3, image.height * scale, image.width * scale)
  const weights = (start: number, size: number, length: number): Float32Array =>
    tileWeights(start * scale, size * scale, length * scale, tiling.overlap * scale)
  const size = { height: Math.min(tiling.tile, image.height), width: Math.min(tiling.tile, image.width) }
  for (const top of tileStarts(image.height, tiling)) {
    for (const left of tileStarts(image.width, tiling)) {
      const pixels = await decodePart(stages, image, { top, left, ...size })
      const rows = weights(top, size.height, image.height)
      blend.add(pixels, top * scale, left * scale, rows, weights(left, size.width, image.width))
    }
  }
  return blend.finish()
}

/** Decodes a rectangle of the latents to (3, H, W). */
async function decodePart(stages: Stages, image: ImageLatents, part: Rectangle): Promise<Float32Array> {
  const input = stages.allocate([1, image.channels, part.height, part.width])
  try {
    let to = 0
    for (let channel = 0; channel < image.channels; channel++) {
      for (let y = 0; y < part.height; y++) {
        const from = (channel * image.height + part.top + y) * image.width + part.left
        input.data.set(image.values.subarray(from, from + part.width), to)
        to += part.width
      }
    }
    const output = await stages.decodeLatents(input)
    const pixels = output.data.slice()
    output.release()
    return pixels
  } finally {
    input.release()
  }
}
