import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { GrayImage, RgbImage } from './pixels.js'
import { RESIZE_MODES, resizeImage, resizeMask } from './resize.js'

type Colour = readonly [number, number, number]

function paint(width: number, height: number, colour: (x: number, y: number) => Colour): RgbImage {
  const data = new Uint8Array(3 * width * height)
  for (let i = 0; i < width * height; i++) data.set(colour(i % width, Math.floor(i / width)), 3 * i)
  return { width, height, data }
}

function at({ width, data }: RgbImage, x: number, y: number): number[] {
  return [...data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3)]
}

const RED: Colour = [200, 30, 40]
const GREEN: Colour = [20, 180, 60]
const BLUE: Colour = [10, 40, 220]

/** Red, green and blue thirds from left to right. */
const flag = paint(30, 10, (x) => (x < 10 ? RED : x < 20 ? GREEN : BLUE))

/** Many colours: brightness grows to the right, blue downwards. */
const gradient = paint(64, 64, (x, y) => [3 * x, 3 * x, 3 * y])

describe('resizeImage', () => {
  it('gives the size that was asked for, whatever the mode', async () => {
    const side = fc.integer({ min: 1, max: 40 })
    await fc.assert(
      fc.asyncProperty(side, side, side, side, fc.constantFrom(...RESIZE_MODES), async (w, h, width, height, mode) => {
        const image = await resizeImage(
          paint(w, h, (x, y) => [x, y, 9]),
          width,
          height,
          mode,
        )
        expect([image.width, image.height, image.data.length]).toEqual([width, height, 3 * width * height])
      }),
      { numRuns: 60 },
    )
  })

  it('leaves a picture of the right size as it is', async () => {
    for (const mode of RESIZE_MODES) expect(await resizeImage(gradient, 64, 64, mode)).toEqual(gradient)
  })

  it('stretches with just-resize', async () => {
    const image = await resizeImage(flag, 30, 30, 'just-resize')
    for (const y of [0, 15, 29]) {
      expect([at(image, 0, y), at(image, 15, y), at(image, 29, y)]).toEqual([RED, GREEN, BLUE])
    }
  })

  it('keeps the middle with crop-and-resize', async () => {
    const image = await resizeImage(flag, 20, 20, 'crop-and-resize')
    for (const [x, y] of [[0, 0], [10, 10], [19, 19]]) expect(at(image, x, y)).toEqual(GREEN) // prettier-ignore
  })

  it("fills above and below with the border's median colour with resize-and-fill", async () => {
    const framed = paint(30, 10, (x, y) => (x === 0 || x === 29 || y === 0 || y === 9 ? BLUE : RED))
    const image = await resizeImage(framed, 30, 20, 'resize-and-fill')
    expect(at(image, 0, 0)).toEqual(BLUE)
    expect(at(image, 15, 4)).toEqual(BLUE)
    expect(image.data.subarray(3 * 30 * 5, 3 * 30 * 15)).toEqual(framed.data)
    expect(at(image, 15, 19)).toEqual(BLUE)
  })

  it('keeps exactly the colours of a map', async () => {
    for (const size of [17, 64]) {
      const { data } = await resizeImage(flag, size, size, 'just-resize')
      const colours = new Set(Array.from({ length: size * size }, (_, i) => data.subarray(3 * i, 3 * i + 3).join()))
      expect([...colours].sort()).toEqual([BLUE, GREEN, RED].map((colour) => colour.join()).sort())
    }
  })

  it('averages photos when it shrinks them', async () => {
    const noisy = paint(64, 64, (x, y) => [x % 2 === 0 ? 80 : 120, (x * 7 + y * 13) % 256, (x * y) % 256])
    const image = await resizeImage(noisy, 16, 16, 'just-resize')
    for (let x = 2; x < 14; x++) expect(Math.abs(at(image, x, 8)[0] - 100)).toBeLessThan(4)
  })

  it('keeps thin lines of an edge map whole, in black and white', async () => {
    const lines = paint(64, 64, (x, y) => (x === 21 || y === 40 ? [255, 255, 255] : [0, 0, 0]))
    for (const size of [32, 128]) {
      const image = await resizeImage(lines, size, size, 'just-resize')
      expect([...new Set(image.data)].sort()).toEqual([0, 255])
      for (let y = 0; y < size; y++) {
        const row = Array.from({ length: size }, (_, x) => at(image, x, y)[0])
        expect(row.indexOf(255), `row ${y}`).toBeGreaterThanOrEqual(0)
      }
    }
  })

  it('refuses to crop a picture that is a mere line', async () => {
    const line = paint(1, 9000, () => RED)
    await expect(resizeImage(line, 128, 128, 'crop-and-resize')).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      message: expect.stringContaining('1x9000') as string,
    })
    const filled = await resizeImage(line, 128, 128, 'resize-and-fill')
    expect(at(filled, 64, 64)).toEqual(RED)
  })
})

describe('resizeMask', () => {
  const mask: GrayImage = {
    width: 40,
    height: 20,
    data: Uint8Array.from({ length: 800 }, (_, i) => (i % 40 < 20 ? 255 : 0)),
  }

  it('keeps its outline where it was', async () => {
    const { width, height, data } = await resizeMask(mask, 80, 80, 'just-resize')
    expect([width, height, data.length]).toEqual([80, 80, 6400])
    for (let y = 0; y < 80; y++) {
      expect(data[80 * y + 38]).toBeGreaterThanOrEqual(128)
      expect(data[80 * y + 41]).toBeLessThan(128)
    }
  })

  it('goes the way of its picture', async () => {
    const picture = paint(40, 20, (x) => (x < 20 ? [255, 255, 255] : [0, 0, 0]))
    for (const mode of RESIZE_MODES) {
      const small = await resizeMask(mask, 16, 16, mode)
      const image = await resizeImage(picture, 16, 16, mode)
      small.data.forEach((level, i) => expect(level >= 128, `${mode} ${i}`).toBe(image.data[3 * i] >= 128))
    }
  })
})
