import type { RgbImage } from './pixels.js'

/** A latent space whose colours are known: SD 1.x and 2.x share one autoencoder, SDXL has its own. */
export type LatentSpace = 'sd' | 'sdxl'

interface Colours {
  /** Red, green and blue of each of the four channels. */
  readonly factors: readonly (readonly [number, number, number])[]
  readonly bias: readonly [number, number, number]
}

/**
 * The published linear approximations of the autoencoders: ComfyUI, comfy/latent_formats.py (latent_rgb_factors of SD15
 * and SDXL). They take latents as the UNet sees them, and give -1..1.
 */
const COLOURS: Readonly<Record<LatentSpace, Colours>> = {
  sd: {
    factors: [
      [0.3512, 0.2297, 0.3227],
      [0.325, 0.4974, 0.235],
      [-0.2829, 0.1762, 0.2721],
      [-0.212, -0.2616, -0.7177],
    ],
    bias: [0, 0, 0],
  },
  sdxl: {
    factors: [
      [0.3651, 0.4232, 0.4341],
      [-0.2533, -0.0042, 0.1068],
      [0.1076, 0.1111, -0.0362],
      [-0.3165, -0.2492, -0.2188],
    ],
    bias: [0.1084, -0.0175, -0.0011],
  },
}

/** The blocks of the published autoencoders; one of other blocks was trained by itself and has colours of its own. */
const PUBLISHED_BLOCKS = '128,256,512,512'

/** The latent space of an autoencoder, by its config; undefined if it is not one of the published ones. */
export function latentSpaceOf(
  family: LatentSpace,
  vae: { readonly latent_channels: number; readonly block_out_channels: readonly number[] },
): LatentSpace | undefined {
  return vae.latent_channels === 4 && vae.block_out_channels.join() === PUBLISHED_BLOCKS ? family : undefined
}

/**
 * What latents may become, as small pictures of the latents' own size; good enough to see what is being drawn.
 * @param latents (N, C, h, w). Those of samplers that count noise in sigmas are larger at first; they are scaled to a
 * deviation of at most 1.
 * @param space undefined for a space of unknown colours: then the first three channels are red, green and blue, each
 * stretched over its own range
 * @returns one picture of h x w for each image
 */
export function latentsToRgb(
  latents: Float32Array,
  [count, channels, height, width]: readonly [number, number, number, number],
  space: LatentSpace | undefined,
): RgbImage[] {
  const area = height * width
  return Array.from({ length: count }, (_, image) => {
    const values = latents.subarray(image * channels * area, (image + 1) * channels * area)
    const data = space && channels === 4 ? mix(values, area, COLOURS[space]) : stretch(values, area, channels)
    return { width, height, data }
  })
}

function mix(values: Float32Array, area: number, { factors, bias }: Colours): Uint8Array {
  const scale = 1 / Math.max(1, deviation(values))
  const data = new Uint8Array(3 * area)
  for (let i = 0; i < area; i++) {
    for (let colour = 0; colour < 3; colour++) {
      let sum = bias[colour]
      for (let channel = 0; channel < 4; channel++) sum += scale * values[channel * area + i] * factors[channel][colour]
      data[3 * i + colour] = level((sum + 1) / 2)
    }
  }
  return data
}

/** How many deviations around the mean of a channel become the range from dark to bright. */
const STRETCH = 2

function stretch(values: Float32Array, area: number, channels: number): Uint8Array {
  const data = new Uint8Array(3 * area)
  for (let colour = 0; colour < 3; colour++) {
    // A space of one or two channels is gray in what is missing.
    const begin = Math.min(colour, channels - 1) * area
    const plane = values.subarray(begin, begin + area)
    const mean = plane.reduce((sum, value) => sum + value, 0) / area
    const range = STRETCH * (deviation(plane) || 1)
    for (let i = 0; i < area; i++) data[3 * i + colour] = level((plane[i] - mean) / (2 * range) + 0.5)
  }
  return data
}

function deviation(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)
}

function level(unit: number): number {
  return Math.round(255 * Math.min(Math.max(unit, 0), 1))
}
