import { describe, expect, it } from 'vitest'
import { MAX_PROMPT_CHARACTERS } from './limits.js'
import { parseGenerateRequest } from './request.js'

describe('generate request', () => {
  it('needs only a prompt', () => {
    expect(parseGenerateRequest({ prompt: 'a star' })).toEqual({ prompt: 'a star', model: 'demo', numImages: 1 })
  })

  it('takes every field at its limits', () => {
    const request = {
      ...{ prompt: '', negativePrompt: '', model: '/models/x', scheduler: 'DPM++ 2M Karras' },
      ...{ width: 64, height: 4096, numInferenceSteps: 1000, guidanceScale: 0, clipSkip: 12, numImages: 16 },
      seed: Number.MAX_SAFE_INTEGER,
    }
    expect(parseGenerateRequest(request)).toEqual(request)
  })

  it.each([
    [{}, 'prompt must be the text to draw, but it is missing.'],
    [{ prompt: 7 }, 'prompt must be the text to draw, not 7.'],
    [{ prompt: 'x', width: 130 }, 'width must be a whole number from 64 to 4096 and a multiple of 8, not 130.'],
    [{ prompt: 'x', height: 8192 }, 'height must be a whole number from 64 to 4096 and a multiple of 8, not 8192.'],
    [{ prompt: 'x', width: '512' }, 'width must be a whole number from 64 to 4096 and a multiple of 8, not "512".'],
    [{ prompt: 'x', numInferenceSteps: 0 }, 'numInferenceSteps must be a whole number from 1 to 1000, not 0.'],
    [{ prompt: 'x', numInferenceSteps: 1.5 }, 'numInferenceSteps must be a whole number from 1 to 1000, not 1.5.'],
    [{ prompt: 'x', guidanceScale: -1 }, 'guidanceScale must be a number from 0 to 100, not -1.'],
    [{ prompt: 'x', seed: 2 ** 53 }, `seed must be a whole number from 0 to ${2 ** 53 - 1}, not ${2 ** 53}.`],
    [{ prompt: 'x', model: '' }, 'model must be the name or path of a model, not "".'],
    [null, 'The request must be a JSON object with at least a prompt.'],
    [['x'], 'The request must be a JSON object with at least a prompt.'],
  ])('is refused in one sentence: %j', (request, sentence) => {
    expect(() => parseGenerateRequest(request)).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST', message: sentence }),
    )
  })

  it('names an unknown field and the known ones', () => {
    expect(() => parseGenerateRequest({ prompt: 'x', steps: 20 })).toThrow(
      /unknown field "steps"; known are prompt, .*numInferenceSteps/,
    )
  })

  it('is refused with a code of its own when a prompt is too long', () => {
    const long = 'x'.repeat(MAX_PROMPT_CHARACTERS + 1)
    const tooLong = expect.objectContaining({ code: 'PROMPT_TOO_LONG' }) as Error
    expect(() => parseGenerateRequest({ prompt: long })).toThrow(tooLong)
    expect(() => parseGenerateRequest({ prompt: 'x', negativePrompt: long })).toThrow(tooLong)
    expect(parseGenerateRequest({ prompt: long.slice(1) }).prompt).toHaveLength(MAX_PROMPT_CHARACTERS)
  })
})
