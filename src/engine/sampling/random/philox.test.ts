import { describe, expect, it } from 'vitest'
import { createPhiloxRandom, philox4x32, type Words2, type Words4 } from './philox.js'

describe('philox4x32', () => {
  // The known answers of Random123 (tests/kat_vectors, "philox4x32 10").
  it.each<[Words4, Words2, Words4]>([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ])('turns the counter %j with the key %j into %j', (counter, key, expected) => {
    expect(philox4x32(counter, key)).toEqual(expected)
  })
})

describe('createPhiloxRandom', () => {
  it('gives the values that stable-diffusion-webui states for seed 0', () => {
    const expected = [
      -0.92466259, -0.42534415, -2.6438457, 0.14518388, -0.12086647, -0.57972564, -0.62285122, -0.32838709, -1.07454231,
      -0.36314407, -1.67105067, 2.26550497,
    ]
    const values = createPhiloxRandom(0n).normal(12)
    values.forEach((value, i) => expect(value).toBeCloseTo(expected[i], 6))
  })

  it('gives a longer tensor the same first values, and every call others', () => {
    const random = createPhiloxRandom(9n)
    const first = random.normal(8)
    expect(createPhiloxRandom(9n).normal(20).subarray(0, 8)).toEqual(first)
    expect(random.normal(8)).not.toEqual(first)
  })

  it('uses all 64 bits of a seed', () => {
    expect(createPhiloxRandom(5n + 2n ** 32n).normal(4)).not.toEqual(createPhiloxRandom(5n).normal(4))
    expect(createPhiloxRandom(5n + 2n ** 64n).normal(4)).toEqual(createPhiloxRandom(5n).normal(4))
  })

  it('has the mean and the deviation of a standard normal distribution', () => {
    const values = createPhiloxRandom(11n).normal(50_000)
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
    expect(Math.abs(mean)).toBeLessThan(0.02)
    expect(Math.abs(variance - 1)).toBeLessThan(0.03)
  })
})
