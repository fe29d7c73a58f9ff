import { describe, expect, it } from 'vitest'
import { estimateClean, latentSpaceOf, latentsToRgb } from './latent-preview.js'

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

  it('takes away the noise that the prediction saw, of both kinds of samplers and predictions', () => {
    const [clean, noise, sigma] = [0.5, -1.25, 3]
    const alpha = 1 / Math.sqrt(1 + sigma * sigma)
    const [unscaled, scaled] = [clean + sigma * noise, alpha * (clean + sigma * noise)].map((value) =>
      Float32Array.of(value),
    )
    const velocity = Float32Array.of(alpha * noise - sigma * alpha * clean)
    const epsilon = Float32Array.of(noise)
    const level = { sigma, unscaled: true, predictionType: 'epsilon' } as const
    const estimates = [
      estimateClean(unscaled, epsilon, level),
      estimateClean(scaled, epsilon, { ...level, unscaled: false }),
      estimateClean(unscaled, velocity, { ...level, predictionType: 'v_prediction' }),
      estimateClean(scaled, velocity, { ...level, unscaled: false, predictionType: 'v_prediction' }),
      estimateClean(unscaled, Float32Array.of(clean), { ...level, predictionType: 'sample' }),
    ]
    for (const [value] of estimates) expect(value).toBeCloseTo(clean, 5)
  })
})
