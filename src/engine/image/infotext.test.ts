import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatInfotext, parseInfotext, type GenerationParameters } from './infotext.js'

/** Text with everything that the format gives a meaning to. */
const awkward = fc
  .array(
    fc.oneof(
      fc.constantFrom(',', ':', ': ', '"', '\\', '\n', '\r\n', ' ', 'Negative prompt:', 'Steps: 1, Seed: 2, Size: 3x4'),
      fc.string({ unit: 'grapheme', maxLength: 8 }),
      fc.string({ unit: 'binary', maxLength: 4 }),
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(''))

const name = fc.stringMatching(/^[a-z][a-z0-9_.-]{0,10}$/)
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (value === 0 ? 0 : value))
const seed = fc.bigInt(0n, 2n ** 64n - 1n).map((value) => (value <= 2n ** 53n - 1n ? Number(value) : value))

const parameters = fc.record<GenerationParameters>(
  {
    prompt: awkward,
    negativePrompt: awkward,
    steps: fc.nat(),
    sampler: awkward,
    scheduleType: awkward,
    cfgScale: number,
    seed,
    width: fc.nat(),
    height: fc.nat(),
    modelHash: fc.stringMatching(/^[0-9a-f]{10}$/),
    model: awkward,
    vaeHash: awkward,
    vae: awkward,
    variationSeed: seed,
    variationSeedStrength: number,
    denoisingStrength: number,
    clipSkip: fc.nat(),
    rng: awkward,
    controlNets: fc.array(fc.record({ Module: awkward, Model: awkward, 'Guidance Start': awkward }), { minLength: 1 }),
    loraHashes: fc.dictionary(name, fc.stringMatching(/^[0-9a-f]{12}$/), { minKeys: 1 }),
    extra: fc.record({ 'Lora patch step': awkward, 'CFG split': awkward }),
    version: awkward,
  },
  { requiredKeys: ['prompt', 'negativePrompt', 'steps', 'seed', 'width', 'height', 'rng'] },
)

const full: GenerationParameters = {
  prompt: 'a fox, (red:1.2)\nin snow',
  negativePrompt: 'blurry, "text"',
  steps: 20,
  sampler: 'DPM++ 2M',
  scheduleType: 'Karras',
  cfgScale: 7.5,
  seed: 18446744073709551615n,
  width: 512,
  height: 768,
  modelHash: '0123456789',
  model: 'tiny, shapes',
  denoisingStrength: 0.7,
  clipSkip: 2,
  controlNets: [{ Module: 'canny', Model: 'x [0123abcd]', Weight: '1.0' }],
  loraHashes: { neon: '1a2b', stripes: '3c4d' },
  extra: { 'Lora patch step': '3' },
  version: '0.1.0',
}

describe('formatInfotext', () => {
  it('writes the lines and the order of A1111', () => {
    expect(formatInfotext(full)).toBe(
      [
        'a fox, (red:1.2)',
        'in snow',
        'Negative prompt: blurry, "text"',
        'Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 18446744073709551615, Size: 512x768, ' +
          'Model hash: 0123456789, Model: "tiny, shapes", Denoising strength: 0.7, Clip skip: 2, RNG: CPU, ' +
          'ControlNet 0: "Module: canny, Model: x [0123abcd], Weight: 1.0", Lora hashes: "neon: 1a2b, stripes: 3c4d", ' +
          'Lora patch step: 3, Version: 0.1.0',
      ].join('\n'),
    )
  })

  it('leaves the line of an empty negative prompt out', () => {
    const text = formatInfotext({ prompt: 'fox', negativePrompt: '', steps: 1, seed: 2 })
    expect(text).toBe('fox\nSteps: 1, Seed: 2, RNG: CPU')
  })

  it('takes what would break the list of hashes out of LoRA names', () => {
    const text = formatInfotext({ ...full, loraHashes: { 'a:b, "c"': '1a2b' } })
    expect(parseInfotext(text).loraHashes).toEqual({ 'ab c': '1a2b' })
  })
})

describe('parseInfotext', () => {
  it('gives back what was formatted', () => {
    expect(parseInfotext(formatInfotext(full))).toEqual({ ...full, rng: 'CPU' })
  })

  it('gives back any text in prompts and values', () => {
    fc.assert(
      fc.property(parameters, (value) => {
        expect(parseInfotext(formatInfotext(value))).toEqual(value)
      }),
      { numRuns: 500 },
    )
  })

  it('tells a prompt from a line that looks like another part', () => {
    const prompt = 'a sign that says\nNegative prompt: none\nSteps: 1, Seed: 2, Size: 3x4'
    const text = formatInfotext({ ...full, prompt })
    expect(text.startsWith(prompt)).toBe(true)
    expect(parseInfotext(text).prompt).toBe(prompt)
  })

  it('reads what A1111 writes', () => {
    const text =
      'masterpiece, fox\nNegative prompt: lowres, bad anatomy\n' +
      'Steps: 28, Sampler: Euler a, CFG scale: 7, Seed: 1234, Size: 512x512, Model hash: 6ce0161689, ' +
      'Model: v1-5-pruned, Hires upscale: 2, TI hashes: "easy: c74b4e810b03", Version: v1.9.4'
    expect(parseInfotext(text)).toEqual({
      prompt: 'masterpiece, fox',
      negativePrompt: 'lowres, bad anatomy',
      steps: 28,
      sampler: 'Euler a',
      cfgScale: 7,
      seed: 1234,
      width: 512,
      height: 512,
      modelHash: '6ce0161689',
      model: 'v1-5-pruned',
      extra: { 'Hires upscale': '2', 'TI hashes': 'easy: c74b4e810b03' },
      version: 'v1.9.4',
    })
  })

  it('takes a last line with fewer than three settings for prompt', () => {
    const text = 'a poster\nthat says: hello, world: wide'
    expect(parseInfotext(text)).toEqual({ prompt: text, negativePrompt: '' })
  })

  it('keeps settings that are not what their key promises', () => {
    const { extra, steps } = parseInfotext('fox\nSteps: many, Seed: 1.5, Size: big')
    expect({ extra, steps }).toEqual({ extra: { Steps: 'many', Seed: '1.5', Size: 'big' }, steps: undefined })
  })

  it('accepts any text', () => {
    fc.assert(
      fc.property(awkward, (text) => {
        expect(typeof parseInfotext(text).prompt).toBe('string')
      }),
    )
  })

  it('reads a long line without settings', () => {
    const text = ' '.repeat(200_000) + 'x'.repeat(1_000_000)
    expect(parseInfotext(text).prompt).toBe(text)
  })
})
