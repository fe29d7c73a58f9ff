import { createPhiloxRandom } from '../sampling/random/philox.js'
import { createTorchCpuRandom } from '../sampling/random/torch-cpu.js'
import type { LatentDims } from './latents.js'
import { imageSeeds, type GenerateRequest, type NoiseConvention } from './request.js'

/** Where the noise of a batch comes from: data, so that another process can go on with the same stream. */
export interface NoiseDescription {
  /**
   * One seed draws the noise of the whole batch from one generator; one for each image gives each its own. The a1111
   * convention has one for each.
   */
  readonly seeds: readonly bigint[]
  /** Images of the batch. */
  readonly count: number
  /** @default 'diffusers' */
  readonly convention?: NoiseConvention
  /** @default 'cpu' */
  readonly rng?: 'cpu' | 'nv'
}

/** One draw: values for each image, and whether the images share them. */
export interface Draw {
  readonly perImage: number
  readonly shared: boolean
}

/** Draws standard normal noise for a batch of images. */
export interface BatchNoise {
  /** Noise for the whole batch, `count * perImage` values, image after image. */
  draw(perImage: number): Float32Array
  /**
   * Noise for something that all images share, such as the picture that they start from: one generator draws it once for
   * all, generators of their own draw one each. Again `count * perImage` values.
   */
  drawShared(perImage: number): Float32Array
  /** What was drawn so far, in order. */
  readonly drawn: readonly Draw[]
}

/** The description of a request's noise. */
export function noiseOf(request: GenerateRequest, count: number): NoiseDescription {
  const { seeds, rng, noiseConvention } = request
  if (noiseConvention !== 'a1111') return { seeds, count, ...(rng && { rng }) }
  return { seeds: imageSeeds(request, count), count, convention: 'a1111', ...(rng && { rng }) }
}

/**
 * The noise of a batch. As diffusers draws it (randn_tensor), one generator draws one tensor for the whole batch; with a
 * generator for each image, each draws its own part. stable-diffusion-webui (`ImageRNG` of modules/rng.py) has a
 * generator for each image, for its initial noise and for that of stochastic samplers; the sample of a picture's posterior
 * comes there from a generator that the job does not seed, so that its mean, no noise, is taken here.
 * @param drawn draws that were made already; the stream goes on behind them
 */
export function createBatchNoise(
  { seeds, count, convention, rng }: NoiseDescription,
  drawn: readonly Draw[] = [],
): BatchNoise {
  const sources = seeds.map(rng === 'nv' ? createPhiloxRandom : createTorchCpuRandom)
  const single = sources.length === 1 ? sources[0] : undefined
  const log: Draw[] = []
  const join = (part: (image: number) => Float32Array, perImage: number): Float32Array => {
    const noise = new Float32Array(count * perImage)
    for (let image = 0; image < count; image++) noise.set(part(image), image * perImage)
    return noise
  }
  const draw = (perImage: number, shared: boolean): Float32Array => {
    log.push({ perImage, shared })
    if (shared && convention === 'a1111') return new Float32Array(count * perImage)
    if (!single) return join((image) => sources[image].normal(perImage), perImage)
    if (!shared) return single.normal(count * perImage)
    const once = single.normal(perImage)
    return join(() => once, perImage)
  }
  for (const { perImage, shared } of drawn) draw(perImage, shared)
  return {
    draw: (perImage) => draw(perImage, false),
    drawShared: (perImage) => draw(perImage, true),
    drawn: log,
  }
}

/**
 * Mixes the noise of a request's variation seed, + i for image i, into the initial noise, which is the first draw
 * (`ImageRNG.first` of stable-diffusion-webui's modules/rng.py). The streams of the images' own seeds stay as they are.
 */
export function withVariation(noise: BatchNoise, request: GenerateRequest, dims: LatentDims): BatchNoise {
  const { variationSeed = 0n, variationStrength = 0, rng } = request
  if (variationStrength === 0) return noise
  const createSource = rng === 'nv' ? createPhiloxRandom : createTorchCpuRandom
  let first = true
  return {
    ...noise,
    draw(perImage) {
      const drawn = noise.draw(perImage)
      if (!first) return drawn
      first = false
      for (let image = 0; image < dims[0]; image++) {
        const own = drawn.subarray(image * perImage, (image + 1) * perImage)
        const other = createSource(variationSeed + BigInt(image)).normal(perImage)
        own.set(slerp(variationStrength, own, other, dims))
      }
      return drawn
    },
  }
}

/** Beyond this cosine stable-diffusion-webui mixes linearly. */
const NEARLY_PARALLEL = 0.9995

/**
 * Spherical interpolation as stable-diffusion-webui has it (`slerp` of modules/rng.py): of (C, h, w) noise, each column of
 * each channel is a vector. Where the noises are nearly the same it mixes linearly, with the shares exchanged, as there.
 */
function slerp(
  share: number,
  low: Float32Array,
  high: Float32Array,
  [, channels, height, width]: LatentDims,
): Float32Array {
  const columns = channels * width
  const cosines = new Float64Array(columns)
  const at = (column: number, y: number): number => (Math.floor(column / width) * height + y) * width + (column % width)
  for (let column = 0; column < columns; column++) {
    let [lows, highs, product] = [0, 0, 0]
    for (let y = 0; y < height; y++) {
      const [a, b] = [low[at(column, y)], high[at(column, y)]]
      lows += a * a
      highs += b * b
      product += a * b
    }
    cosines[column] = product / Math.sqrt(lows * highs)
  }
  if (cosines.reduce((sum, cosine) => sum + cosine, 0) / columns > NEARLY_PARALLEL) {
    return low.map((value, i) => value * share + high[i] * (1 - share))
  }
  const mixed = new Float32Array(low.length)
  for (let column = 0; column < columns; column++) {
    const angle = Math.acos(cosines[column])
    const [fromLow, fromHigh] = [(1 - share) * angle, share * angle].map((part) => Math.sin(part) / Math.sin(angle))
    for (let y = 0; y < height; y++) {
      const i = at(column, y)
      mixed[i] = fromLow * low[i] + fromHigh * high[i]
    }
  }
  return mixed
}
