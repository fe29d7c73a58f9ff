import { describe, expect, it } from 'vitest'
import type { RgbImage } from './pixels.js'
import { prepareControlImage } from './preprocess.js'

/** A bright square on a dark picture, 100 by 50. */
const picture: RgbImage = ((): RgbImage => {
  const inside = (x: number, y: number): boolean => x >= 40 && x < 60 && y >= 15 && y < 35
  const data = Uint8Array.from({ length: 3 * 5000 }, (_, i) => {
    const pixel = Math.floor(i / 3)
    return inside(pixel % 100, Math.floor(pixel / 100)) ? 220 : 60
  })
  return { width: 100, height: 50, data }
})()

const base = { width: 100, height: 100, resizeMode: 'resize-and-fill', preprocessor: 'canny' } as const

function whiteRows({ width, data }: RgbImage): number[] {
  const rows = new Set<number>()
  data.forEach((level, i) => level > 0 && rows.add(Math.floor(i / 3 / width)))
  return [...rows].sort((a, b) => a - b)
}

describe('prepareControlImage', () => {
  it('gives edges of the final size, and none where it filled', async () => {
    const edges = await prepareControlImage(picture, base)
    expect([edges.width, edges.height]).toEqual([100, 100])
    expect(whiteRows(edges)[0]).toBeGreaterThanOrEqual(39)
    expect(whiteRows(edges).at(-1)).toBeLessThanOrEqual(60)
    expect(whiteRows(edges).length).toBeGreaterThan(18)
  })

  it('draws edges one pixel wide after enlarging', async () => {
    const edges = await prepareControlImage(picture, { ...base, width: 400, height: 200, resizeMode: 'just-resize' })
    for (let y = 70; y < 130; y++) {
      const row = Array.from({ length: 400 }, (_, x) => edges.data[3 * (400 * y + x)])
      expect(row.filter((level) => level === 255)).toHaveLength(2)
    }
  })

  it('passes its thresholds on', async () => {
    // The square's step of 160 levels has a gradient of 640.
    const plain = { ...base, height: 50 }
    expect(whiteRows(await prepareControlImage(picture, { ...plain, lowThreshold: 600, highThreshold: 630 }))).not.toEqual([]) // prettier-ignore
    expect(whiteRows(await prepareControlImage(picture, { ...plain, lowThreshold: 900, highThreshold: 990 }))).toEqual(
      [],
    )
  })

  it('inverts', async () => {
    const inverted = await prepareControlImage(picture, { ...base, preprocessor: 'invert' })
    expect(new Set(inverted.data)).toEqual(new Set([35, 195]))
    expect(inverted.data[0]).toBe(195)
  })

  it('only resizes with none', async () => {
    const same = await prepareControlImage(picture, { ...base, height: 50, preprocessor: 'none' })
    expect(same).toEqual(picture)
  })

  it.each([
    [200, 100],
    [-1, 100],
    [NaN, 100],
    [0, Infinity],
  ])('refuses thresholds of %d and %d', async (lowThreshold, highThreshold) => {
    await expect(prepareControlImage(picture, { ...base, lowThreshold, highThreshold })).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      message: expect.stringContaining(`${lowThreshold} and ${highThreshold}`) as string,
    })
  })
})
