import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fromRgbImages } from '../image/pixels.js'
import { decodeImage } from '../image/png.js'
import { resizeImage } from '../image/resize.js'
import { openModelHost, type ModelHost } from '../networks/model-host.js'
import { createTorchCpuRandom } from '../sampling/random/torch-cpu.js'
import { openTokenizer } from '../text/tokenizer.js'
import { openCheckpoint, type Checkpoint } from '../weights/checkpoint.js'
import { generate } from './generate.js'
import { decodeLatents } from './latents.js'
import { localStages } from './local-stages.js'
import type { Stages } from './stages.js'
import {
  chooseTiling,
  createTileBlend,
  DEFAULT_TILING,
  SMALL_TILING,
  tileStarts,
  tileWeights,
  type Tiling,
} from './vae-tiling.js'

const demo = fileURLToPath(new URL('../../../fixtures/models/tiny-shapes-xl', import.meta.url))

const tilings = fc
  .tuple(fc.integer({ min: 2, max: 64 }), fc.integer({ min: 1, max: 63 }), fc.integer({ min: 1, max: 300 }))
  .filter(([tile, overlap]) => overlap < tile)

describe('chooseTiling', () => {
  it.each([
    ['auto', 128, undefined],
    ['auto', 129, DEFAULT_TILING],
    ['on', 8, SMALL_TILING],
    ['off', 512, undefined],
  ] as const)('%s at a width of %i latents', (choice, width, expected) => {
    expect(chooseTiling(choice, 64, width)).toBe(expected)
  })
})

describe('tiles', () => {
  it('cover an axis from its begin to its end, and overlap at least as far as asked', () => {
    fc.assert(
      fc.property(tilings, ([tile, overlap, length]) => {
        const starts = tileStarts(length, { tile, overlap })
        const size = Math.min(tile, length)
        expect(starts[0]).toBe(0)
        expect(starts[starts.length - 1] + size).toBe(length)
        for (let i = 1; i < starts.length; i++) {
          expect(starts[i - 1] + size - starts[i]).toBeGreaterThanOrEqual(Math.min(overlap, size - 1))
        }
      }),
    )
  })

  it('give back an image that all of them agree on', () => {
    fc.assert(
      fc.property(tilings, ([tile, overlap, width]) => {
        const image = Float32Array.from({ length: 3 * width }, (_, i) => Math.sin(i))
        const size = Math.min(tile, width)
        const blend = createTileBlend(3, 1, width)
        for (const start of tileStarts(width, { tile, overlap })) {
          const part = new Float32Array(3 * size)
          for (let c = 0; c < 3; c++) part.set(image.subarray(c * width + start, c * width + start + size), c * size)
          blend.add(part, 0, start, Float32Array.of(1), tileWeights(start, size, width, overlap))
        }
        blend.finish().forEach((value, i) => expect(value).toBeCloseTo(image[i], 5))
      }),
    )
  })
})

/** Tiles that a picture of the demo model, made in a moment, has nine of. */
const SMALL = { tile: 24, overlap: 8 }

function difference(a: Float32Array, b: Float32Array): { largest: number; mean: number } {
  let largest = 0
  let sum = 0
  a.forEach((value, i) => {
    const each = Math.abs(value - b[i])
    largest = Math.max(largest, each)
    sum += each
  })
  return { largest, mean: sum / a.length }
}

/** The mean absolute step between each column of pixels and its left neighbour, of rows of that width. */
function columnSteps(pixels: Float32Array, width: number): Float64Array {
  const rows = pixels.length / width
  const steps = new Float64Array(width)
  for (let row = 0; row < rows; row++) {
    for (let x = 1; x < width; x++) {
      steps[x] += Math.abs(pixels[row * width + x] - pixels[row * width + x - 1]) / rows
    }
  }
  return steps
}

/** A seam would be a column in which the picture, or its difference from the whole one, steps more than elsewhere. */
function expectNoSeams(tiled: Float32Array, whole: Float32Array, side: number, { tile, overlap }: Tiling): void {
  const seams = tileStarts(side, { tile, overlap })
    .flatMap((start) => [start, start + overlap, start + tile - overlap, start + tile])
    .filter((column) => column > 0 && column < side)
    .map((column) => 8 * column)
  const inTiles = columnSteps(tiled, 8 * side)
  const inWhole = columnSteps(whole, 8 * side)
  const ofDifference = columnSteps(
    tiled.map((value, i) => value - whole[i]),
    8 * side,
  )
  const elsewhere = Math.max(...ofDifference.filter((_, column) => !seams.includes(column)))
  for (const seam of seams) {
    // Half a level of an 8-bit picture: nobody sees where tiles meet.
    expect(inTiles[seam]).toBeLessThan(inWhole[seam] + 1 / 255)
    expect(ofDifference[seam]).toBeLessThan(elsewhere)
  }
}

describe('decoding in tiles', () => {
  let host: ModelHost
  let directory: string
  let checkpoint: Checkpoint
  let stages: Stages
  let latents: Float32Array
  const side = 48

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-tiling-'))
    host = openModelHost({ threads: 2, cacheDirectory: directory })
    checkpoint = openCheckpoint(demo)
    stages = localStages(await host.load(checkpoint))
    const tokenizers = await Promise.all(checkpoint.textEncoders.map((each) => openTokenizer(each.tokenizerDirectory)))
    // Latents of a real picture: noise would be decoded to noise, in which no seam can be seen.
    const request = {
      prompt: 'a large red star on a blue background',
      negativePrompt: null,
      scheduler: checkpoint.scheduler,
    }
    const size = { width: side * 8, height: side * 8, numInferenceSteps: 20, guidanceScale: 5, seeds: [7n] }
    latents = (await generate({ checkpoint, tokenizers, stages, request: { ...request, ...size } })).latents
  })
  afterAll(async () => {
    await host.release()
    rmSync(directory, { recursive: true })
  })

  it('differs by 0.35 at most and 0.017 on average of a range of 2 in small tiles', async () => {
    const whole = await decodeLatents(checkpoint, stages, latents, [1, 4, side, side], 'off')
    const tiled = await decodeLatents(checkpoint, stages, latents, [1, 4, side, side], SMALL)
    const { largest, mean } = difference(tiled, whole)
    expect(largest).toBeLessThan(0.35)
    expect(mean).toBeLessThan(0.017)
  })

  it('differs less in larger tiles, whatever the overlap', async () => {
    const whole = await decodeLatents(checkpoint, stages, latents, [1, 4, side, side], 'off')
    const means: number[] = []
    for (const tiling of [{ tile: 16, overlap: 4 }, SMALL, { tile: 24, overlap: 12 }, { tile: 32, overlap: 8 }]) {
      const tiled = await decodeLatents(checkpoint, stages, latents, [1, 4, side, side], tiling)
      means.push(difference(tiled, whole).mean)
    }
    const [tiny, small, overlapping, large] = means
    expect(tiny).toBeGreaterThan(1.3 * small)
    expect(small).toBeGreaterThan(1.3 * large)
    expect(Math.abs(overlapping - small)).toBeLessThan(0.1 * small)
  })

  it('has no step where tiles begin, end or start to fade', async () => {
    const whole = await decodeLatents(checkpoint, stages, latents, [1, 4, side, side], 'off')
    const tiled = await decodeLatents(checkpoint, stages, latents, [1, 4, side, side], SMALL)
    expectNoSeams(tiled, whole, side, SMALL)
  })

  it('differs by 0.12 at most and 0.003 on average in the tiles that large pictures get, without a seam', async () => {
    // A picture of the demo model, enlarged: the autoencoder alone makes its latents, in a moment.
    const [height, width] = [32, 136]
    const small = await decodeImage(readFileSync(join(demo, '../examples/canny_0_result.png')))
    const picture = await resizeImage(small, 8 * width, 8 * height, 'just-resize')
    const { dims, data } = fromRgbImages([picture], 'signed')
    const input = stages.allocate(dims)
    input.data.set(data)
    const moments = await stages.encodeImage(input)
    const { scaling_factor: factor } = checkpoint.vae.config
    const encoded = moments.data.slice(0, 4 * height * width).map((value) => value * factor)
    for (const each of [input, moments]) each.release()

    const whole = await decodeLatents(checkpoint, stages, encoded, [1, 4, height, width], 'off')
    const tiled = await decodeLatents(checkpoint, stages, encoded, [1, 4, height, width])
    const { largest, mean } = difference(tiled, whole)
    expect(largest).toBeLessThan(0.12)
    expect(mean).toBeLessThan(0.003)
    expectNoSeams(tiled, whole, width, DEFAULT_TILING)
  })

  it('gives the whole decode where one tile is enough', async () => {
    const random = createTorchCpuRandom(1n).normal(4 * 16 * 16)
    const whole = await decodeLatents(checkpoint, stages, random, [1, 4, 16, 16], 'off')
    const tiled = await decodeLatents(checkpoint, stages, random, [1, 4, 16, 16], { tile: 16, overlap: 4 })
    expect(Buffer.from(tiled.buffer)).toEqual(Buffer.from(whole.buffer))
  })
})
