import { describe, expect, it } from 'vitest'
import { cosine, edgeF1, type PixelSet } from './measures.js'
import { ssim } from './ssim.js'
import type { RgbImage } from '../../src/engine/image/pixels.js'

/** A vertical line of pixels. */
function line(at: number): PixelSet {
  return { width: 20, height: 20, data: Uint8Array.from({ length: 400 }, (_, i) => (i % 20 === at ? 1 : 0)) }
}

describe('edgeF1', () => {
  it('forgives two pixels and no more', () => {
    expect(edgeF1(line(9), line(9))).toBe(1)
    expect(edgeF1(line(9), line(11))).toBe(1)
    expect(edgeF1(line(9), line(12))).toBe(0)
  })

  it('is the harmonic mean of precision and recall', () => {
    const both = { ...line(3), data: line(3).data.map((bit, i) => bit | line(15).data[i]) }
    expect(edgeF1(both, line(3))).toBeCloseTo(2 / 3)
    expect(edgeF1(line(3), both)).toBeCloseTo(2 / 3)
  })
})

describe('ssim', () => {
  const picture = (level: (i: number) => number): RgbImage => ({
    width: 24,
    height: 24,
    data: Uint8Array.from({ length: 3 * 576 }, (_, i) => level(i)),
  })
  const waves = picture((i) => 128 + 90 * Math.sin(i / 7))

  it('is 1 for equal pictures, and symmetric', () => {
    expect(ssim(waves, waves)).toBeCloseTo(1, 12)
    const other = picture((i) => 128 + 60 * Math.sin(i / 5))
    expect(ssim(waves, other)).toBeCloseTo(ssim(other, waves), 12)
  })

  it('of two flat pictures is what their means say', () => {
    // Without variance only the first factor remains: (2xy + C1) / (x² + y² + C1).
    const c1 = 2.55 ** 2
    const expected = (2 * 100 * 120 + c1) / (100 ** 2 + 120 ** 2 + c1)
    expect(ssim(picture(() => 100), picture(() => 120))).toBeCloseTo(expected, 10) // prettier-ignore
  })

  it('is below 0 for a negative', () => {
    expect(ssim(waves, { ...waves, data: waves.data.map((level) => 255 - level) })).toBeLessThan(0)
  })
})

describe('cosine', () => {
  it('is 1, 0 and -1 for parallel, perpendicular and opposite', () => {
    const a = Float32Array.of(1, 2, 0)
    expect(cosine(a, Float32Array.of(2, 4, 0))).toBeCloseTo(1)
    expect(cosine(a, Float32Array.of(-2, 1, 5))).toBeCloseTo(0)
    expect(cosine(a, Float32Array.of(-1, -2, 0))).toBeCloseTo(-1)
  })
})
