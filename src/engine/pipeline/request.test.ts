import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openCheckpoint } from '../weights/checkpoint.js'
import { checkRequest, imageSeeds, type GenerateRequest } from './request.js'

const checkpoint = openCheckpoint(join(import.meta.dirname, '../../../fixtures/goldens/sd15/model'))

function request(fields: Partial<GenerateRequest>): GenerateRequest {
  return {
    ...{
      prompt: 'a',
      negativePrompt: null,
      width: 64,
      height: 64,
      numInferenceSteps: 2,
      guidanceScale: 7,
      seeds: [7n],
    },
    scheduler: { class: 'EulerDiscreteScheduler', config: {} },
    ...fields,
  }
}

describe('imageSeeds', () => {
  it.each<[string, Partial<GenerateRequest>, bigint[]]>([
    ['the one seed of diffusers’ convention for all', {}, [7n, 7n, 7n]],
    ['the seeds that are given', { seeds: [3n, 1n, 2n] }, [3n, 1n, 2n]],
    ['seed + i in the a1111 convention', { noiseConvention: 'a1111' }, [7n, 8n, 9n]],
    ['the given ones there, too', { noiseConvention: 'a1111', seeds: [3n, 1n, 2n] }, [3n, 1n, 2n]],
    ['one seed for all with a variation', { noiseConvention: 'a1111', variationStrength: 0.1 }, [7n, 7n, 7n]],
  ])('are %s', (_, fields, expected) => {
    expect(imageSeeds(request(fields), 3)).toEqual(expected)
  })
})

describe('checkRequest', () => {
  it.each<[string, Partial<GenerateRequest>, string]>([
    ['a second prompt', { promptSyntax: 'a1111', prompt2: 'b' }, 'second prompt'],
    ['a second negative prompt', { promptSyntax: 'a1111', negativePrompt2: 'b' }, 'second prompt'],
    ['a clip skip of 0', { promptSyntax: 'a1111', clipSkip: 0 }, 'clip skip of 0'],
    ['a clip skip beyond all layers', { clipSkip: 4 }, 'clip skip of 4 is too large; this model allows 0 to 3'],
    ['the same counted from 1', { promptSyntax: 'a1111', clipSkip: 5 }, 'this model allows 1 to 4'],
    ['half a layer', { promptSyntax: 'a1111', clipSkip: 1.5 }, 'clip skip of 1.5'],
    ['a strength over 1', { noiseConvention: 'a1111', variationSeed: 1n, variationStrength: 1.1 }, '1.1'],
    ['a strength without a seed', { noiseConvention: 'a1111', variationStrength: 0.5 }, 'no variation seed'],
    ['a variation of diffusers’ noise', { variationSeed: 1n, variationStrength: 0.5 }, 'a1111 noise convention'],
  ])('refuses %s', (_, fields, sentence) => {
    const message = expect.stringContaining(sentence) as string
    expect(() => checkRequest(request(fields), checkpoint)).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST', message }) as Error,
    )
  })

  it.each<[string, Partial<GenerateRequest>]>([
    ['a second prompt in diffusers’ syntax', { clipSkip: 0, prompt2: 'b' }],
    ['the a1111 syntax with its own settings', { promptSyntax: 'a1111', clipSkip: 2, emphasis: 'no-norm' }],
    ['a variation', { noiseConvention: 'a1111', rng: 'nv', variationSeed: 1n, variationStrength: 1 }],
    ['a variation of strength 0 in any convention', { variationSeed: 1n, variationStrength: 0 }],
  ])('accepts %s', (_, fields) => {
    expect(() => checkRequest(request(fields), checkpoint)).not.toThrow()
  })
})
