import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { PORTABLE, type GraphTarget } from '../graph/target.js'
import { openCheckpoint } from '../weights/checkpoint.js'
import { openControlNetComponent } from '../weights/controlnet-file.js'
import { controlNetGraphs, controlNetWork, modelGraphs, modelWork, type ModelWork } from './graph-work.js'
import { checkpointBytes, componentBytes } from './weight-bytes.js'
import { graphKey, type GraphReference } from './graph-cache.js'

const models = fileURLToPath(new URL('../../../fixtures/models/', import.meta.url))
const demo = openCheckpoint(`${models}tiny-shapes-xl`)
const canny = openControlNetComponent(`${models}controlnets/canny`, demo)
const HALF: GraphTarget = { ...PORTABLE, precision: 'float16' }
const MIXED: GraphTarget = { ...PORTABLE, precision: 'mixed' }

/** In MB, by graph. */
function workOf(work: ModelWork, target = PORTABLE): Record<string, number> {
  const entries = modelWork(demo, work, target).map(({ kind, byteLength }) => [kind, byteLength / 1e6] as const)
  return Object.fromEntries(entries)
}
const sum = (work: Record<string, number>): number => Object.values(work).reduce((a, b) => a + b, 0)

describe('the estimate of working memory', () => {
  // bench/activation-memory.ts demo, MB at the peak.
  it.each<[graph: string, work: ModelWork, measured: number]>([
    ['unet-encoder', { pass: [2, 4, 32, 32] }, 3.1],
    ['unet-encoder', { pass: [2, 4, 64, 64] }, 11.7],
    ['unet-encoder', { pass: [8, 4, 16, 16] }, 3.0],
    ['unet-decoder', { pass: [2, 4, 32, 32] }, 2.8],
    ['unet-decoder', { pass: [2, 4, 64, 64] }, 14.9],
    ['vae-decoder', { decode: [1, 4, 32, 32] }, 15.0],
    ['vae-decoder', { decode: [1, 4, 64, 64] }, 66.9],
    ['vae-encoder', { encode: [1, 3, 512, 512] }, 71.2],
  ])('of %s is not below what was measured, and not over two and a half times as much', (graph, work, measured) => {
    const { [graph]: estimate } = workOf(work)
    expect(estimate).toBeGreaterThanOrEqual(measured)
    expect(estimate).toBeLessThan(2.5 * measured)
  })

  it('of a ControlNet holds its passes and its picture', () => {
    const work = controlNetWork(canny, { pass: [2, 4, 64, 64], picture: [1, 3, 512, 512] }, PORTABLE)
    const [trunk, embedding] = work.map(({ byteLength }) => byteLength / 1e6)
    expect([trunk >= 9.9 && trunk < 25, embedding >= 18.3 && embedding < 46]).toEqual([true, true])
  })

  it('grows with the batch, with what ControlNets add, and with attention that is written out', () => {
    const pass = [2, 4, 64, 64]
    const once = sum(workOf({ pass }))
    expect(sum(workOf({ pass: [4, 4, 64, 64] }))).toBeGreaterThan(1.8 * once)
    expect(sum(workOf({ pass, controls: 1 }))).toBeGreaterThan(once)
    expect(sum(workOf({ pass }, { ...PORTABLE, attention: 'plain' }))).toBeGreaterThan(2 * once)
  })

  it('is of one tile where the picture is decoded in tiles', () => {
    const whole = workOf({ decode: [1, 4, 128, 128] })['vae-decoder']
    expect(workOf({ decode: [1, 4, 64, 64] })['vae-decoder']).toBeCloseTo(whole / 4, 1)
  })

  it('is half in half precision, but for an autoencoder that needs the other half', () => {
    const work: ModelWork = { pass: [2, 4, 64, 64], decode: [1, 4, 64, 64] }
    const [full, half] = [workOf(work), workOf(work, HALF)]
    expect(half['unet-encoder']).toBeCloseTo(full['unet-encoder'] / 2, 3)
    expect(demo.vae.config.force_upcast).toBe(true)
    expect(half['vae-decoder']).toBe(full['vae-decoder'])
  })

  it('has three times the largest kernel where weights are widened', () => {
    const [full, mixed] = [workOf({ pass: [2, 4, 64, 64] }), workOf({ pass: [2, 4, 64, 64] }, MIXED)]
    const widest = Math.max(...demo.unet.config.block_out_channels)
    expect(mixed['unet-encoder'] - full['unet-encoder']).toBeCloseTo((3 * 4 * 9 * widest ** 2) / 1e6, 6)
    expect(mixed['unet-decoder'] - full['unet-decoder']).toBeCloseTo((3 * 4 * 9 * 2 * widest ** 2) / 1e6, 6)
  })

  it('is for graphs that the networks are bound to', () => {
    const keys = (graphs: readonly GraphReference[]) => graphs.map(graphKey)
    const all: ModelWork = { pass: [2, 4, 8, 8], controls: 1, decode: [1, 4, 8, 8], encode: [1, 3, 64, 64] }
    for (const device of [PORTABLE, HALF, MIXED]) {
      const bound = keys(modelGraphs(demo, device))
      for (const key of keys(modelWork(demo, all, device))) expect(bound).toContain(key)
      const ofControlNet = controlNetWork(canny, { pass: [2, 4, 8, 8] }, device)
      expect(keys(controlNetGraphs(canny, device))).toEqual(keys(ofControlNet))
    }
  })
})

describe('the size of weights', () => {
  it('is that of the device’s precision, whatever the files have', () => {
    const [full, half] = [checkpointBytes(demo, PORTABLE), checkpointBytes(demo, HALF)]
    // The autoencoder stays as it is.
    const autoencoder = componentBytes(demo.vae, PORTABLE)
    expect(half - autoencoder).toBe((full - autoencoder) / 2)
    expect(componentBytes(canny, HALF)).toBe(componentBytes(canny, PORTABLE) / 2)
    // Vectors stay in float32 there.
    const mixed = componentBytes(canny, MIXED) / componentBytes(canny, HALF)
    expect(mixed).toBeGreaterThan(1)
    expect(mixed).toBeLessThan(1.02)
  })
})
