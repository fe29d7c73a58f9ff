import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { float32Values, openSafetensors } from '../weights/safetensors.js'
import { fromRgbImages, toRgbImages } from './pixels.js'

const goldens = join(import.meta.dirname, '../../../fixtures/goldens')

function level(value: number): number {
  return toRgbImages({ dims: [1, 3, 1, 1], data: Float32Array.of(value, 0, 0) })[0].data[0]
}

describe('toRgbImages', () => {
  it('orders channels and rows as pictures do', () => {
    const data = Float32Array.from({ length: 2 * 3 * 2 * 3 }, (_, i) => (2 * i) / 255 - 1)
    const images = toRgbImages({ dims: [2, 3, 2, 3], data })
    expect(images.map(({ width, height }) => [width, height])).toEqual([
      [3, 2],
      [3, 2],
    ])
    expect([...images[0].data.subarray(0, 6)]).toEqual([0, 6, 12, 1, 7, 13])
    expect([...images[1].data.subarray(0, 3)]).toEqual([18, 24, 30])
  })

  it.each([
    [-1, 0],
    [1, 255],
    [-7, 0],
    [7, 255],
    [NaN, 0],
    // In float32 these are the ties 127.5, 128.5 and 129.5: numpy rounds them to even.
    [0, 128],
    [0.007843137718737125, 128],
    [0.0156862735748291, 130],
  ])('maps %d to %d', (value, expected) => {
    expect(level(value)).toBe(expected)
  })

  it.each(['sd15', 'sd21', 'sdxl'])('gives the 8-bit pictures of the %s goldens exactly', (family) => {
    const file = openSafetensors(join(goldens, family, 'io/e2e-txt2img.safetensors'))
    const pairs = [...file.tensors.values()].filter(({ name }) => name.endsWith('.out.image'))
    expect(pairs.length).toBeGreaterThan(2)
    for (const tensor of pairs) {
      const images = toRgbImages({ dims: tensor.shape, data: float32Values(file, tensor) })
      const expected = file.bytesOf(file.tensors.get(`${tensor.name}_u8`)!)
      expect(Buffer.concat(images.map(({ data }) => data)).equals(expected), tensor.name).toBe(true)
    }
    file.close()
  })

  it('refuses tensors that are no RGB pictures', () => {
    expect(() => toRgbImages({ dims: [1, 4, 1, 1], data: new Float32Array(4) })).toThrow('not RGB pictures')
    expect(() => toRgbImages({ dims: [1, 3, 2, 2], data: new Float32Array(3) })).toThrow('not RGB pictures')
  })
})

describe('fromRgbImages', () => {
  it('gives the float32 values of diffusers', () => {
    const image = { width: 2, height: 1, data: Uint8Array.of(0, 85, 170, 255, 1, 254) }
    const f = Math.fround
    const unit = [0, f(1), f(85 / 255), f(1 / 255), f(170 / 255), f(254 / 255)]
    expect(fromRgbImages([image], 'unit')).toEqual({ dims: [1, 3, 1, 2], data: Float32Array.from(unit) })
    const signed = Float32Array.from(unit, (value) => f(2 * value) - 1)
    expect(fromRgbImages([image], 'signed').data).toEqual(signed)
  })

  it('is undone by toRgbImages for every level', () => {
    const pixels = fc.uint8Array({ minLength: 24, maxLength: 24 })
    fc.assert(
      fc.property(pixels, pixels, (first, second) => {
        const images = [first, second].map((data) => ({ width: 4, height: 2, data }))
        expect(toRgbImages(fromRgbImages(images, 'signed'))).toEqual(images)
      }),
    )
    const all = { width: 256, height: 1, data: Uint8Array.from({ length: 768 }, (_, i) => Math.floor(i / 3)) }
    expect(toRgbImages(fromRgbImages([all], 'signed'))).toEqual([all])
  })

  it('refuses pictures of different sizes', () => {
    const wide = { width: 2, height: 1, data: new Uint8Array(6) }
    const high = { width: 1, height: 2, data: new Uint8Array(6) }
    expect(() => fromRgbImages([wide, high], 'unit')).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST', message: expect.stringContaining('2x1 and 1x2') as string }),
    )
  })
})
