import { describe, expect, it } from 'vitest'
import { MAX_PROMPT_CHARACTERS } from './limits.js'
import { parseGenerateRequest } from './request.js'

describe('generate request', () => {
  it('needs only a prompt', () => {
    expect(parseGenerateRequest({ prompt: 'a star' })).toEqual({
      ...{ prompt: 'a star', model: 'demo', numImages: 1, promptSyntax: 'diffusers', emphasis: 'original' },
      ...{ noiseConvention: 'diffusers', rng: 'cpu', resizeMode: 'just-resize', vaeTiling: 'auto' },
    })
  })

  it('takes every field at its limits', () => {
    const request = {
      ...{ prompt: '', negativePrompt: '', model: '/models/x', scheduler: 'DPM++ 2M Karras' },
      ...{ width: 64, height: 4096, numInferenceSteps: 1000, guidanceScale: 0, clipSkip: 12, numImages: 16 },
      seed: Number.MAX_SAFE_INTEGER - 15,
      ...{ prompt2: '', negativePrompt2: '', promptSyntax: 'a1111', emphasis: 'no-norm', eta: 1, guidanceRescale: 1 },
      ...{ noiseConvention: 'a1111', rng: 'nv', variationSeed: 0, variationStrength: 1, vaeTiling: 'on' },
      ...{ image: 'AAAA', mask: { data: 'AAAA', path: '/mask.png' }, strength: 1, resizeMode: 'resize-and-fill' },
      loras: [{ name: 'stripes', scale: -10, textEncoderScale: 10 }],
      ...{ loraTags: false, loraAt: 1000, loraPartial: true, latentParallel: true },
      placement: { baseDevice: 'cpu:0', secondDevice: 'cpu:1', controlNetDevices: ['cpu:1'] },
      controls: [
        {
          ...{ controlNet: 'canny', image: 'AAAA', preprocessor: 'canny', lowThreshold: 0, highThreshold: 1000 },
          ...{ resizeMode: 'crop-and-resize', scale: 10, start: 0.5, end: 0.5, controlMode: 'prompt', guessMode: true },
          residualWeights: [0, 1],
        },
      ],
    }
    expect(parseGenerateRequest(request)).toEqual(request)
  })

  it('fills in how a ControlNet acts', () => {
    const { controls } = parseGenerateRequest({ prompt: 'x', controls: [{ controlNet: 'canny', image: 'AAAA' }] })
    expect(controls).toEqual([
      {
        ...{ controlNet: 'canny', image: 'AAAA', preprocessor: 'none', lowThreshold: 100, highThreshold: 200 },
        ...{ resizeMode: 'just-resize', scale: 1, start: 0, end: 1, controlMode: 'balanced', guessMode: false },
      },
    ])
  })

  it.each([0, 0.25, 1, 7])('bounds LoRAs by none, a share, or whole steps: %j', (loraBound) => {
    expect(parseGenerateRequest({ prompt: 'x', loraBound }).loraBound).toBe(loraBound)
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
    [{ prompt: 'x', rng: 'gpu' }, 'rng must be cpu or nv, not "gpu".'],
    [{ prompt: 'x', resizeMode: 1 }, 'resizeMode must be just-resize, crop-and-resize or resize-and-fill, not 1.'],
    [{ prompt: 'x', image: 'A', strength: 0 }, 'strength must be a number above 0 and up to 1, not 0.'],
    [{ prompt: 'x', strength: 0.5 }, 'There is a strength of 0.5 but no image to start from; give both.'],
    [
      { prompt: 'x', seed: Number.MAX_SAFE_INTEGER, numImages: 2 },
      /^The seed 9007199254740991 leaves no seeds for 2 images up to 9007199254740991; give a smaller one\.$/,
    ],
    [{ prompt: 'x', mask: 'A' }, 'There is a mask but no image to repaint; give both.'],
    [
      { prompt: 'x', image: 7 },
      'image must be a PNG, JPEG or WebP in base64, or {"data": base64, "path": where it was}, not 7.',
    ],
    [{ prompt: 'x', loraBound: 1.5 }, /^loraBound must be 0, a share of the steps below 1, or .*, not 1.5\.$/],
    [{ prompt: 'x', loraBound: 2, loraAt: 3 }, /^loraAt \(3\) fixes the step that loraBound \(2\) leaves open; /],
    [{ prompt: 'x', loras: 'stripes' }, /^loras must be a list of LoRAs such as .*, not "stripes"\.$/],
    [{ prompt: 'x', loras: ['stripes'] }, 'loras[0] must be an object with its settings, not "stripes".'],
    [{ prompt: 'x', loras: [{ name: 'a', scale: 11 }] }, 'loras[0].scale must be a number from -10 to 10, not 11.'],
    [
      { prompt: 'x', loras: [{ name: 'a', weight: 1 }] },
      'loras[0] has the unknown field "weight"; known are name, scale, textEncoderScale.',
    ],
    [
      { prompt: 'x', controls: [{ controlNet: 'a' }] },
      /^controls\[0\]\.image must be a PNG, JPEG or WebP in base64, .*, but it is missing\.$/,
    ],
    [
      { prompt: 'x', controls: [{ controlNet: 'a', image: 'A', start: 0.6, end: 0.5 }] },
      'controls[0].start must not be above end, not 0.6.',
    ],
    [
      { prompt: 'x', placement: { device: 'cpu:0' } },
      'placement has the unknown field "device"; known are baseDevice, secondDevice, textDevice, controlNetDevices.',
    ],
    [
      { prompt: 'x', latentParallel: false, placement: { secondDevice: 'cpu:1' } },
      'A second device (cpu:1) is for latentParallel, which is switched off; give one of them.',
    ],
    [null, 'The request must be a JSON object with at least a prompt.'],
    [['x'], 'The request must be a JSON object with at least a prompt.'],
  ])('is refused in one sentence: %j', (request, sentence) => {
    const message = typeof sentence === 'string' ? sentence : (expect.stringMatching(sentence) as string)
    expect(() => parseGenerateRequest(request)).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST', message }))
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
    expect(() => parseGenerateRequest({ prompt: 'x', prompt2: long })).toThrow(tooLong)
    expect(parseGenerateRequest({ prompt: long.slice(1) }).prompt).toHaveLength(MAX_PROMPT_CHARACTERS)
  })
})
