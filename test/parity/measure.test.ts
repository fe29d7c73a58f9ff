import { describe, expect, it } from 'vitest'
import { measure, type Tensor } from './measure.js'

function tensor(values: number[], shape = [values.length]): Tensor {
  return { shape, data: Float64Array.from(values) }
}

describe('measure', () => {
  it('relates the largest difference to the largest expected value', () => {
    const [one] = measure('q', { max_abs_over_max: 0.1 }, tensor([1.5, -10]), tensor([1, -10]))
    expect(one).toEqual({ quantity: 'q', measure: 'max_abs_over_max', limit: 0.1, error: 0.05, passed: true })
  })

  it('judges every slice of the first axis by its own largest value where asked', () => {
    const actual = tensor([1.5, 1, 100, 100], [2, 2])
    const expected = tensor([1, 1, 100, 100], [2, 2])
    const whole = measure('q', { max_abs_over_max: 0.1 }, actual, expected)
    const slices = measure('q', { max_abs_over_max: 0.1 }, actual, expected, { perSlice: true })
    expect(whole[0]).toMatchObject({ error: 0.005, passed: true })
    expect(slices[0]).toMatchObject({ error: 0.5, passed: false })
  })

  it('accepts only zeros where zeros are expected', () => {
    const limit = { max_abs_over_max: 1 }
    expect(measure('q', limit, tensor([0, 0]), tensor([0, 0]))[0].passed).toBe(true)
    expect(measure('q', limit, tensor([0, 1e-9]), tensor([0, 0]))[0].passed).toBe(false)
  })

  it('fails a wrong shape, whatever the values', () => {
    const [one] = measure('q', { max_abs: 1 }, tensor([1, 2], [1, 2]), tensor([1, 2], [2, 1]))
    expect(one).toMatchObject({ passed: false, error: Infinity, note: 'the shape is [1, 2], expected [2, 1]' })
  })

  it.each([NaN, Infinity, -Infinity])('fails the value %d under every rule', (value) => {
    const rules = [
      'exact' as const,
      { max_abs: 1e9 },
      { max_abs_over_max: 1e9 },
      { max_rel_per_value: 1e9, max_abs: 1e9 },
      { max_level_difference: 1e9, mean_level_difference: 1e9 },
    ]
    for (const rule of rules) {
      for (const one of measure('q', rule, tensor([0, value]), tensor([0, 1]))) expect(one.passed).toBe(false)
    }
  })

  it('fails where the expected value is no number', () => {
    for (const rule of [{ max_abs: 1 }, { max_abs_over_max: 1 }, { max_rel_per_value: 1, max_abs: 1 }]) {
      expect(measure('q', rule, tensor([0, 1]), tensor([0, NaN]))[0].passed).toBe(false)
    }
  })

  it('asks for equality where the tolerance is exact', () => {
    expect(measure('q', 'exact', tensor([1, 2]), tensor([1, 2]))[0].passed).toBe(true)
    expect(measure('q', 'exact', tensor([1, 2]), tensor([1, 2 + 1e-12]))[0].passed).toBe(false)
  })

  it('allows each value its relative or its absolute difference, whichever is more', () => {
    const rule = { max_rel_per_value: 0.01, max_abs: 0.1 }
    expect(measure('q', rule, tensor([100.9, 0.09]), tensor([100, 0]))[0].passed).toBe(true)
    expect(measure('q', rule, tensor([101.1, 0]), tensor([100, 0]))[0].passed).toBe(false)
    expect(measure('q', rule, tensor([100, 0.11]), tensor([100, 0]))[0].passed).toBe(false)
  })

  it('measures 8-bit pictures by their largest and their mean difference in levels', () => {
    const actual = { shape: [4], data: Uint8Array.of(10, 20, 30, 40) }
    const expected = { shape: [4], data: Uint8Array.of(12, 20, 30, 40) }
    const [largest, mean] = measure('u8', { max_level_difference: 2, mean_level_difference: 0.1 }, actual, expected)
    expect(largest).toMatchObject({ measure: 'max_level_difference', error: 2, passed: true })
    expect(mean).toMatchObject({ measure: 'mean_level_difference', error: 0.5, passed: false })
  })
})
