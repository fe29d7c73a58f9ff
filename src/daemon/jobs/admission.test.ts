import { describe, expect, it } from 'vitest'
import { admit } from './admission.js'

const SD15 = `${process.cwd()}/fixtures/goldens/sd15/model`

describe('admission', () => {
  it('makes every choice that the request leaves open, as the demo model likes it', () => {
    expect(admit({ prompt: 'a star', seed: 7 })).toMatchObject({
      ...{ model: 'demo', width: 128, height: 128, numInferenceSteps: 20, guidanceScale: 5, seed: 7, numImages: 1 },
    })
  })

  it('takes the defaults of the family and the size of the model for a folder', () => {
    const resolved = admit({ prompt: 'x', model: SD15 })
    expect(resolved).toMatchObject({ model: 'model', modelPath: SD15, numInferenceSteps: 25, guidanceScale: 7.5 })
    expect(resolved.width % 8).toBe(0)
  })

  it('lets the request win', () => {
    const request = {
      prompt: 'x',
      width: 64,
      height: 192,
      numInferenceSteps: 3,
      guidanceScale: 1,
      scheduler: 'euler_a',
    }
    expect(admit(request)).toMatchObject(request)
  })

  it('draws another seed for each request without one', () => {
    const seeds = Array.from({ length: 8 }, () => admit({ prompt: 'x' }).seed)
    expect(new Set(seeds).size).toBeGreaterThan(1)
    for (const seed of seeds) expect(seed).toBeLessThan(2 ** 32)
  })

  it.each([
    ['MODEL_NOT_FOUND', { prompt: 'x', model: 'nothing' }],
    ['INVALID_REQUEST', { prompt: 'x', scheduler: 'magic' }],
    ['INVALID_REQUEST', { prompt: 'x', width: 130 }],
    ['MODEL_NOT_FOUND', { prompt: 'x', model: '/' }],
  ])('refuses with %s before a job exists: %j', (code, request) => {
    expect(() => admit(request)).toThrow(expect.objectContaining({ code }))
  })
})
