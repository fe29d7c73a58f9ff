import { describe, expect, it } from 'vitest'
import { createTorchCpuRandom } from '../sampling/random/torch-cpu.js'
import { applyEmphasis, type WeightedStates } from './emphasis.js'

const TOKENS = 6
const WIDTHS = [4, 6]
const CHANNELS = 10

/** States whose mean is not 0, with weights for both encoders. */
function chunkOf(seed: bigint, weights: readonly (readonly number[])[], count = 1): WeightedStates {
  const states = createTorchCpuRandom(seed)
    .normal(TOKENS * CHANNELS)
    .map((value) => value + 0.5)
  return { states, weights, count }
}

const ones = Array<number>(TOKENS).fill(1)
const third = (weight: number): number[] => ones.map((one, token) => (token === 2 ? weight : one))

/** The mean over one encoder's channels of chunks of equal size. */
function meanOf(chunks: readonly Float32Array[], begin: number, end: number): number {
  const values = chunks.flatMap((states) => [...states].filter((_, i) => i % CHANNELS >= begin && i % CHANNELS < end))
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

describe('applyEmphasis', () => {
  it('gives the same states where all weights are 1', () => {
    const chunk = chunkOf(1n, [ones, ones])
    expect(applyEmphasis([chunk], WIDTHS, 'original')[0]).toBe(chunk.states)
  })

  it('changes only the weighted tokens without the norm', () => {
    const chunk = chunkOf(1n, [third(1.5), ones])
    const [weighted] = applyEmphasis([chunk], WIDTHS, 'no-norm')
    const expected = chunk.states.map((value, i) =>
      Math.floor(i / CHANNELS) === 2 && i % CHANNELS < 4 ? value * 1.5 : value,
    )
    expect(weighted).toEqual(expected)
    expect(chunk.states).not.toEqual(expected)
  })

  it('keeps the mean of each encoder, and the ratios between tokens', () => {
    const chunk = chunkOf(2n, [third(1.5), third(0.2)])
    const [weighted] = applyEmphasis([chunk], WIDTHS, 'original')
    expect(meanOf([weighted], 0, 4)).toBeCloseTo(meanOf([chunk.states], 0, 4), 6)
    expect(meanOf([weighted], 4, 10)).toBeCloseTo(meanOf([chunk.states], 4, 10), 6)
    const factor = weighted[0] / chunk.states[0]
    expect(factor).not.toBeCloseTo(1, 3)
    expect(weighted[CHANNELS + 3] / chunk.states[CHANNELS + 3]).toBeCloseTo(factor, 5)
    expect(weighted[2 * CHANNELS] / chunk.states[2 * CHANNELS]).toBeCloseTo(1.5 * factor, 5)
  })

  it('takes the mean over all texts of a schedule, each as often as it is in it', () => {
    const once = chunkOf(3n, [third(2), ones])
    const twice = chunkOf(4n, [ones, ones], 2)
    const [a, b] = applyEmphasis([once, twice], WIDTHS, 'original')
    expect(meanOf([a, b, b], 0, 4)).toBeCloseTo(meanOf([once.states, twice.states, twice.states], 0, 4), 6)
    expect(meanOf([a], 0, 4)).not.toBeCloseTo(meanOf([once.states], 0, 4), 3)
  })

  it('leaves states whose mean cannot be brought back without NaN', () => {
    const zeros = applyEmphasis([chunkOf(5n, [ones.map(() => 0), ones])], WIDTHS, 'original')[0]
    expect(zeros.every(Number.isFinite)).toBe(true)
  })
})
