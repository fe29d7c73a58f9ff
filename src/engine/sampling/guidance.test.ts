import { describe, expect, it } from 'vitest'
import { applyGuidance, rescaleGuidance } from './guidance.js'

const negative = Float32Array.of(1, 2, -1, 0)
const positive = Float32Array.of(2, 0, -1, 4)

/** With Bessel's correction. */
function deviation(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1))
}

describe('applyGuidance', () => {
  it.each([
    [0, [1, 2, -1, 0]],
    [1, [2, 0, -1, 4]],
    [7.5, [8.5, -13, -1, 30]],
  ])('goes from the negative prediction along the difference, scale %d', (scale, expected) => {
    const out = new Float32Array(4)
    applyGuidance(out, negative, positive, scale)
    expect([...out]).toEqual(expected)
  })

  it('may write over one of its inputs', () => {
    const both = positive.slice()
    applyGuidance(both, negative, both, 7.5)
    expect([...both]).toEqual([8.5, -13, -1, 30])
  })

  it('refuses predictions of different lengths', () => {
    expect(() => applyGuidance(new Float32Array(4), negative, positive.subarray(1), 2)).toThrow(/4 and 3 values/)
  })
})

describe('rescaleGuidance', () => {
  it('gives the guided prediction the deviation of the unguided one at 1', () => {
    const guided = Float32Array.of(8.5, -13, -1, 30)
    rescaleGuidance(guided, positive, 1)
    expect(deviation(guided)).toBeCloseTo(deviation(positive), 5)
    expect(guided[1] / guided[0]).toBeCloseTo(-13 / 8.5, 5)
  })

  it('mixes the rescaled with the guided prediction', () => {
    const guided = Float32Array.of(8.5, -13, -1, 30)
    const factor = 0.7 * (deviation(positive) / deviation(guided)) + 0.3
    rescaleGuidance(guided, positive, 0.7)
    expect(guided[3]).toBeCloseTo(30 * factor, 4)
  })

  it('takes the deviation of each image for itself', () => {
    const guided = Float32Array.of(0, 2, 0, 200)
    rescaleGuidance(guided, Float32Array.of(0, 1, 0, 1), 1, 2)
    expect([...guided]).toEqual([0, 1, 0, 1])
  })

  it('leaves a constant prediction as it is', () => {
    const guided = Float32Array.of(3, 3)
    rescaleGuidance(guided, Float32Array.of(0, 1), 1)
    expect([...guided]).toEqual([3, 3])
  })

  it('refuses values that do not divide among the images', () => {
    expect(() => rescaleGuidance(new Float32Array(4), positive, 0.5, 3)).toThrow(/4 values among 3/)
  })
})
