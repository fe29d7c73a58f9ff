import { describe, expect, it } from 'vitest'
import { createPhiloxRandom } from '../sampling/random/philox.js'
import { createTorchCpuRandom } from '../sampling/random/torch-cpu.js'
import type { LatentDims } from './latents.js'
import { createBatchNoise, noiseOf, withVariation } from './noise.js'
import type { GenerateRequest } from './request.js'

const DIMS: LatentDims = [3, 4, 6, 5]
const PER_IMAGE = 4 * 6 * 5

function request(fields: Partial<GenerateRequest>): GenerateRequest {
  return {
    ...{ prompt: '', negativePrompt: null, width: 40, height: 48, numInferenceSteps: 1, guidanceScale: 1, seeds: [7n] },
    scheduler: { class: 'EulerDiscreteScheduler', config: {} },
    ...fields,
  }
}

/** The noise of a request for `count` images. */
function noiseFor(fields: Partial<GenerateRequest>, count = 3) {
  const made = request(fields)
  return withVariation(createBatchNoise(noiseOf(made, count)), made, [count, 4, 6, 5])
}

const imageOf = (noise: Float32Array, image: number): Float32Array =>
  noise.subarray(image * PER_IMAGE, (image + 1) * PER_IMAGE)

describe('the diffusers convention', () => {
  it('draws one tensor for the whole batch from one seed', () => {
    expect(noiseFor({}).draw(PER_IMAGE)).toEqual(createTorchCpuRandom(7n).normal(3 * PER_IMAGE))
  })

  it('draws each image from its own seed where there is one for each', () => {
    const noise = noiseFor({ seeds: [1n, 5n, 2n] }).draw(PER_IMAGE)
    expect(imageOf(noise, 1)).toEqual(createTorchCpuRandom(5n).normal(PER_IMAGE))
  })

  it('draws from NVIDIA’s generator where asked to', () => {
    expect(noiseFor({ rng: 'nv' }).draw(PER_IMAGE)).toEqual(createPhiloxRandom(7n).normal(3 * PER_IMAGE))
  })
})

describe('the a1111 convention', () => {
  it.each(['cpu', 'nv'] as const)('draws image i from seed + i, step after step (%s)', (rng) => {
    const batch = noiseFor({ noiseConvention: 'a1111', rng })
    const single = noiseFor({ noiseConvention: 'a1111', rng, seeds: [9n] }, 1)
    for (let step = 0; step < 3; step++) {
      expect(imageOf(batch.draw(PER_IMAGE), 2)).toEqual(single.draw(PER_IMAGE))
    }
  })

  it('is the noise of a single image in the diffusers convention', () => {
    expect(noiseFor({ noiseConvention: 'a1111' }, 1).draw(PER_IMAGE)).toEqual(noiseFor({}, 1).draw(PER_IMAGE))
  })

  it('draws nothing for the posterior of a picture', () => {
    const noise = noiseFor({ noiseConvention: 'a1111' })
    expect(noise.drawShared(PER_IMAGE)).toEqual(new Float32Array(3 * PER_IMAGE))
    expect(noise.draw(PER_IMAGE)).toEqual(noiseFor({ noiseConvention: 'a1111' }).draw(PER_IMAGE))
  })
})

describe('a variation seed', () => {
  const vary = (fields: Partial<GenerateRequest>) =>
    noiseFor({ noiseConvention: 'a1111', variationSeed: 100n, variationStrength: 0.5, ...fields })

  it('is all of the initial noise at strength 1, + i for image i', () => {
    const noise = vary({ variationStrength: 1 }).draw(PER_IMAGE)
    imageOf(noise, 2).forEach((value, i) =>
      expect(value).toBeCloseTo(createTorchCpuRandom(102n).normal(PER_IMAGE)[i], 5),
    )
  })

  it('is nothing of it at strength 0, where image i has its own seed', () => {
    expect(vary({ variationStrength: 0 }).draw(PER_IMAGE)).toEqual(
      noiseFor({ noiseConvention: 'a1111' }).draw(PER_IMAGE),
    )
  })

  it('mixes columns on the sphere, with the seed that all images share', () => {
    const noise = imageOf(vary({}).draw(PER_IMAGE), 1)
    const [low, high] = [createTorchCpuRandom(7n).normal(PER_IMAGE), createTorchCpuRandom(101n).normal(PER_IMAGE)]
    // Channel 2, column 3; at half strength both have the weight 1 / (2 cos(angle / 2)).
    const column = (values: Float32Array): number[] => Array.from({ length: 6 }, (_, y) => values[(2 * 6 + y) * 5 + 3])
    const [a, b] = [column(low), column(high)]
    const dot = (x: number[], y: number[]): number => x.reduce((sum, value, i) => sum + value * y[i], 0)
    const angle = Math.acos(dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)))
    column(noise).forEach((value, y) => expect(value).toBeCloseTo((a[y] + b[y]) / (2 * Math.cos(angle / 2)), 5))
  })

  it('mixes linearly where it is the same seed', () => {
    const noise = imageOf(vary({ variationSeed: 7n, variationStrength: 0.3 }).draw(PER_IMAGE), 0)
    noise.forEach((value, i) => expect(value).toBeCloseTo(createTorchCpuRandom(7n).normal(PER_IMAGE)[i], 5))
  })

  it('leaves the noise of later steps to the image’s own seed', () => {
    const [varied, plain] = [vary({}), createBatchNoise({ seeds: [7n, 7n, 7n], count: 3 })]
    expect(varied.draw(PER_IMAGE)).not.toEqual(plain.draw(PER_IMAGE))
    expect(varied.draw(PER_IMAGE)).toEqual(plain.draw(PER_IMAGE))
  })
})

describe('a stream that goes on elsewhere', () => {
  it.each<[string, Partial<GenerateRequest>]>([
    ['one generator for all', {}],
    ['a generator for each', { seeds: [1n, 2n, 3n], rng: 'nv' }],
    ['the a1111 convention', { noiseConvention: 'a1111' }],
    ['a variation', { noiseConvention: 'a1111', rng: 'nv', variationSeed: 5n, variationStrength: 0.2 }],
  ])('continues behind what was drawn (%s)', (_, fields) => {
    const made = request(fields)
    const here = withVariation(createBatchNoise(noiseOf(made, 3)), made, DIMS)
    here.drawShared(PER_IMAGE)
    here.draw(PER_IMAGE)
    const there = createBatchNoise(noiseOf(made, 3), here.drawn)
    expect(there.draw(PER_IMAGE)).toEqual(here.draw(PER_IMAGE))
  })
})
