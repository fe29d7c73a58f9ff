import { describe, expect, it } from 'vitest'
import { imagePaths } from './save-images.js'

const IMAGES = [
  { index: 0, seed: 7 },
  { index: 1, seed: 8 },
]
const ONE_SEED = IMAGES.map(({ index }) => ({ index, seed: 7 }))

describe('the names of images', () => {
  it.each([
    ['/out/a.png', IMAGES.slice(0, 1), ['/out/a.png']],
    ['/out/a.png', IMAGES, ['/out/a-0.png', '/out/a-1.png']],
    ['/out/a', IMAGES, ['/out/a-0', '/out/a-1']],
    ['/out/{seed}-{index}.png', IMAGES, ['/out/7-0.png', '/out/8-1.png']],
    ['/out/{seed}.png', IMAGES, ['/out/7.png', '/out/8.png']],
    ['/out/{seed}.png', ONE_SEED, ['/out/7-0.png', '/out/7-1.png']],
    ['/{seed}/{other}.png', IMAGES.slice(1), ['/{seed}/{other}.png']],
  ])('of %s', (template, images, expected) => {
    expect(imagePaths(template, images)).toEqual(expected)
  })
})
