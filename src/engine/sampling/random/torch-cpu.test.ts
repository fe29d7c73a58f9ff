import { describe, expect, it } from 'vitest'
import { createMt19937 } from './mt19937.js'
import { createTorchCpuRandom } from './torch-cpu.js'

describe('createMt19937', () => {
  it('gives the 10000th word that the C++ standard states for the default seed', () => {
    const words = createMt19937(5489)
    for (let i = 0; i < 9999; i++) words.next()
    expect(words.next()).toBe(4123659995)
  })
})

describe('createTorchCpuRandom', () => {
  it('gives the values that PyTorch documents for seed 0', () => {
    // torch.manual_seed(0); torch.randn(4): value by value, in double precision.
    const values = createTorchCpuRandom(0n).normal(4)
    const expected = [1.541, -0.2934, -2.1788, 0.5684]
    values.forEach((value, i) => expect(value).toBeCloseTo(expected[i], 4))
  })

  it('uses the lowest 32 bits of a seed', () => {
    const expected = createTorchCpuRandom(5n).normal(20)
    expect(createTorchCpuRandom(5n + 2n ** 32n).normal(20)).toEqual(expected)
    expect(createTorchCpuRandom(5n - 2n ** 64n).normal(20)).toEqual(expected)
    expect(createTorchCpuRandom(6n).normal(20)).not.toEqual(expected)
  })

  it('keeps the second value of a pair for the next small tensor, across a large one', () => {
    const together = createTorchCpuRandom(3n).normal(2)
    const apart = createTorchCpuRandom(3n)
    expect(apart.normal(1)).toEqual(together.subarray(0, 1))
    apart.normal(16)
    expect(apart.normal(1)).toEqual(together.subarray(1))
  })

  it('draws the last 16 values anew where the count is no multiple of 16', () => {
    const whole = createTorchCpuRandom(3n).normal(48)
    const cut = createTorchCpuRandom(3n).normal(40)
    expect(cut.subarray(0, 24)).toEqual(whole.subarray(0, 24))
    expect(cut.subarray(24)).not.toEqual(whole.subarray(24, 40))
  })

  it('draws no values for an empty tensor', () => {
    expect(createTorchCpuRandom(1n).normal(0)).toEqual(new Float32Array(0))
  })

  it('has the mean and the deviation of a standard normal distribution', () => {
    const values = createTorchCpuRandom(11n).normal(100_000)
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
    expect(Math.abs(mean)).toBeLessThan(0.02)
    expect(Math.abs(variance - 1)).toBeLessThan(0.03)
  })
})
