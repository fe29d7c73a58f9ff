import { describe, expect, it } from 'vitest'
import { latentSpaceOf, latentsToRgb } from './latent-preview.js'

describe('latent preview', () => {
  it('mixes the published colours of a known space', () => {
    // One pixel whose first channel alone is 1: the factors' first row, from -1..1 to bytes.
    const [image] = latentsToRgb(Float32Array.of(1, 0, 0, 0), [1, 4, 1, 1], 'sd')
    expect(image).toEqual({ width: 1, height: 1, data: Uint8Array.of(172, 157, 169) })
    const [xl] = latentsToRgb(new Float32Array(4), [1, 4, 1, 1], 'sdxl')
    expect([...xl.data]).toEqual([141, 125, 127])
  })

  it('does not depend on the size of the noise', () => {
    const noise = Float32Array.from({ length: 4 * 16 }, (_, i) => 3 * Math.sin(7 * i + 1))
    const larger = noise.map((value) => 5 * value)
    expect(latentsToRgb(larger, [1, 4, 4, 4], 'sdxl')).toEqual(latentsToRgb(noise, [1, 4, 4, 4], 'sdxl'))
  })

  it('stretches the channels of an unknown space, and makes one picture for each image', () => {
    const latents = Float32Array.from({ length: 2 * 4 * 4 }, (_, i) => (i % 4) * 100)
    const images = latentsToRgb(latents, [2, 4, 2, 2], undefined)
    expect(images).toHaveLength(2)
    const [{ data }] = images
    expect(data[0]).toBeLessThan(64)
    expect(data[9]).toBeGreaterThan(192)
    expect([...data.subarray(0, 3)]).toEqual([data[0], data[0], data[0]])
    expect([...latentsToRgb(new Float32Array(4), [1, 1, 2, 2], undefined)[0].data]).toEqual(new Array(12).fill(128))
  })

  it('knows the published autoencoders from others', () => {
    const published = { latent_channels: 4, block_out_channels: [128, 256, 512, 512] }
    expect(latentSpaceOf('sdxl', published)).toBe('sdxl')
    expect(latentSpaceOf('sdxl', { ...published, block_out_channels: [16, 16, 32, 64] })).toBeUndefined()
  })
})
