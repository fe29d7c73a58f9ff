import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openModelHost, type ModelHost } from '../networks/model-host.js'
import { createTorchCpuRandom } from '../sampling/random/torch-cpu.js'
import { openTokenizer } from '../text/tokenizer.js'
import { openCheckpoint, type Checkpoint } from '../weights/checkpoint.js'
import { generate } from './generate.js'
import { decodeLatents } from './latents.js'
import { localStages } from './local-stages.js'
import type { Stages } from './stages.js'
import { chooseTiling, createTileBlend, DEFAULT_TILING, tileStarts, tileWeights } from './vae-tiling.js'

const demo = fileURLToPath(new URL('../../../fixtures/models/tiny-shapes-xl', import.meta.url))

const tilings = fc
  .tuple(fc.integer({ min: 2, max: 64 }), fc.integer({ min: 1, max: 63 }), fc.integer({ min: 1, max: 300 }))
  .filter(([tile, overlap]) => overlap < tile)

describe('chooseTiling', () => {
  it.each([
    ['auto', 128, undefined],
    ['auto', 129, DEFAULT_TILING],
    ['on', 8, DEFAULT_TILING],
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

  /** The mean step between a column of pixels and its left neighbour. */
  const columnSteps = (pixels: Float32Array, column: number): number => {
    const width = side * 8
    let sum = 0
    for (let row = 0; row < 3 * width; row++)
      sum += Math.abs(pixels[row * width + column] - pixels[row * width + column - 1])
    return sum / (3 * width)
  }

  it('differs from the whole decode by 0.5 at most and 0.03 on average of a range of 2, with no step at the seams', async () => {
    const tiling = { tile: 24, overlap: 8 }
    const whole = await decodeLatents(checkpoint, stages, latents, [1, 4, side, side], 'off')
    const tiled = await decodeLatents(checkpoint, stages, latents, [1, 4, side, side], tiling)
    let largest = 0
    let sum = 0
    tiled.forEach((value, i) => {
      const difference = Math.abs(value - whole[i])
      largest = Math.max(largest, difference)
      sum += difference
    })
    console.log(
      `tiled decode: largest difference ${largest.toFixed(3)}, mean ${(sum / tiled.length).toFixed(4)} of a range of 2`,
    )
    expect(largest).toBeLessThan(0.5)
    expect(sum / tiled.length).toBeLessThan(0.03)
    // Half a level of an 8-bit picture: nobody sees where tiles meet.
    const halfLevel = 1 / 255
    for (const start of tileStarts(side, tiling)) {
      for (const edge of [start, start + tiling.tile].filter((at) => at > 0 && at < side)) {
        expect(columnSteps(tiled, edge * 8)).toBeLessThan(columnSteps(whole, edge * 8) + halfLevel)
      }
    }
  })

  it('gives the whole decode where one tile is enough', async () => {
    const random = createTorchCpuRandom(1n).normal(4 * 16 * 16)
    const whole = await decodeLatents(checkpoint, stages, random, [1, 4, 16, 16], 'off')
    const tiled = await decodeLatents(checkpoint, stages, random, [1, 4, 16, 16], { tile: 16, overlap: 4 })
    expect(Buffer.from(tiled.buffer)).toEqual(Buffer.from(whole.buffer))
  })
})
