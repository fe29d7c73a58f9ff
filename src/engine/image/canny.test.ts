import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { edgeF1, edgePixels, type PixelSet } from '../../../test/support/measures.js'
import { cannyEdges } from './canny.js'
import { decodeImage } from './png.js'
import type { RgbImage } from './pixels.js'

const examples = join(import.meta.dirname, '../../../fixtures/models/examples')
const DEFAULT = { low: 100, high: 200 }

/** A grey picture by a function of its pixels. */
function draw(width: number, height: number, level: (x: number, y: number) => number): RgbImage {
  const data = new Uint8Array(3 * width * height)
  for (let i = 0; i < width * height; i++) data.fill(level(i % width, Math.floor(i / width)), 3 * i, 3 * i + 3)
  return { width, height, data }
}

async function edgesOf(image: RgbImage, thresholds = DEFAULT): Promise<PixelSet> {
  return edgePixels(await cannyEdges(image, thresholds))
}

function points({ width, data }: PixelSet): [x: number, y: number][] {
  return [...data.keys()].filter((i) => data[i] === 1).map((i) => [i % width, Math.floor(i / width)])
}

describe('cannyEdges', () => {
  const inSquare = (x: number, y: number): boolean => x >= 20 && x < 50 && y >= 20 && y < 50
  const square = draw(70, 70, (x, y) => (inSquare(x, y) ? 200 : 50))

  it('finds a square within a pixel of its outline', async () => {
    const found = points(await edgesOf(square))
    for (const [x, y] of found) {
      const distance = Math.max(Math.abs(x - 34.5), Math.abs(y - 34.5))
      expect(Math.abs(distance - 15), `${x},${y}`).toBeLessThanOrEqual(1)
    }
    // All four sides, but for the rounded corners.
    for (let at = 23; at < 47; at++) {
      expect(found.filter(([x, y]) => y === at && x < 35)).toHaveLength(1)
      expect(found.filter(([x, y]) => y === at && x > 35)).toHaveLength(1)
      expect(found.filter(([x, y]) => x === at && y < 35)).toHaveLength(1)
      expect(found.filter(([x, y]) => x === at && y > 35)).toHaveLength(1)
    }
  })

  it('is white on black in all three channels', async () => {
    const { data } = await cannyEdges(square, DEFAULT)
    expect([...new Set(data)].sort()).toEqual([0, 255])
    for (let i = 0; i < data.length; i += 3) expect([data[i + 1], data[i + 2]]).toEqual([data[i], data[i]])
  })

  it('keeps weak edges that are connected to strong ones, and drops those that are not', async () => {
    // A step of 40 levels has a gradient of 160, one of 100 levels 400. Both are in column 32, and only 40 in column 64.
    const image = draw(96, 40, (x, y) => (x >= 64 ? 140 : x >= 32 ? 100 : y < 20 ? 60 : 0))
    const found = points(await edgesOf(image))
    const inColumn = (column: number): number => found.filter(([x]) => Math.abs(x - column) <= 1).length
    expect(inColumn(32)).toBeGreaterThanOrEqual(39)
    expect(inColumn(64)).toBe(0)
    // With a high threshold that the weak step reaches it is an edge, too.
    expect(points(await edgesOf(image, { low: 100, high: 150 })).filter(([x]) => x > 60).length).toBe(40)
  })

  it('takes fewer edges the higher the thresholds are', async () => {
    // Steps of 10 to 90 levels beside each other.
    const stairs = draw(100, 10, (x) => (x % 20 >= 10 ? 10 + 20 * Math.floor(x / 20) : 0))
    const counts: number[] = []
    for (const high of [30, 100, 200, 300, 400]) counts.push(points(await edgesOf(stairs, { low: high, high })).length)
    for (let i = 1; i < counts.length; i++) expect(counts[i]).toBeLessThan(counts[i - 1])
    expect(counts[4]).toBe(0)
  })

  it('finds no edges in a picture of one colour', async () => {
    expect(points(await edgesOf(draw(32, 32, () => 170)))).toEqual([])
  })

  it('sees edges between colours of equal grey', async () => {
    const image = draw(40, 40, () => 0)
    for (let i = 0; i < 1600; i++) image.data[3 * i + (i % 40 < 20 ? 0 : 2)] = 150
    expect(points(await edgesOf(image)).every(([x]) => x === 19 || x === 20)).toBe(true)
    expect(points(await edgesOf(image)).length).toBeGreaterThanOrEqual(38)
  })

  it.each([0, 1, 2])('finds in the depth map of demo scene %d what its recipe drew as edges', async (scene) => {
    const picture = async (kind: string): Promise<RgbImage> =>
      decodeImage(readFileSync(join(examples, `${kind}_${scene}.png`)))
    const wanted = edgePixels(await picture('canny'))
    expect(edgeF1(await edgesOf(await picture('depth')), wanted, 1)).toBeGreaterThan(0.9)
  })
})
