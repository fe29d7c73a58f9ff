import { describe, expect, it } from 'vitest'
import { widenInto } from '../weights/half.js'
import { toHalves } from './half.js'

function widened(halves: Uint16Array): Float32Array {
  const out = new Float32Array(halves.length)
  widenInto(out, new Uint8Array(halves.buffer), 'F16')
  return out
}

describe('rounding to float16', () => {
  it('gives back every value that float16 has', () => {
    const all = Uint16Array.from({ length: 65_536 }, (_, half) => half)
    const isNumber = (half: number): boolean => (half & 0x7fff) <= 0x7c00
    const numbers = all.filter(isNumber)
    expect(toHalves(widened(numbers))).toEqual(numbers)
    expect(widened(toHalves(widened(all.filter((half) => !isNumber(half))))).every(Number.isNaN)).toBe(true)
  })

  it('takes the nearest value, the even one between two', () => {
    const step = 2 ** -10
    expect([...widened(toHalves([1 + step / 2, 1 + (3 * step) / 2, 1 + step * 0.51, 1 + step * 0.49]))]).toEqual([
      1,
      1 + 2 * step,
      1 + step,
      1,
    ])
    expect([...widened(toHalves([2 ** -25, 2 ** -25 * 1.01, 2 ** -24 * 1.5, -(2 ** -26)]))]).toEqual([
      0,
      2 ** -24,
      2 ** -23,
      -0,
    ])
  })

  it('goes to infinity from the middle between the largest value and the next step on', () => {
    expect([...widened(toHalves([65_504, 65_519, 65_520, -1e9, Infinity]))]).toEqual([
      65_504,
      65_504,
      Infinity,
      -Infinity,
      Infinity,
    ])
  })
})
