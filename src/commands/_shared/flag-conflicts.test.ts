import { describe, expect, it } from 'vitest'
import { checkFlagsTogether, preferTyped } from './flag-conflicts.js'
import type { GenerateFlags } from './generate-request.js'

const A1111 = { 'noise-convention': 'a1111' } as const

describe('flags of generate together', () => {
  it.each<[GenerateFlags, string]>([
    [{ mask: 'a.png' }, '--mask needs --image'],
    [{ strength: 0.5 }, '--strength needs --image'],
    [{ 'lora-at': 2, 'lora-bound': 3 }, '--lora-at fixes the step that --lora-bound leaves open'],
    [{ 'variation-strength': 0.1, ...A1111 }, '--variation-strength needs --variation-seed'],
    [{ 'variation-seed': 1 }, '--variation-seed and --variation-strength need --noise-convention a1111'],
    [{ 'negative-prompt-2': 'x', 'prompt-syntax': 'a1111' }, '--negative-prompt-2 needs --prompt-syntax diffusers'],
    [{ 'second-device': 'cpu:1', 'latent-parallel': false }, '--second-device needs --latent-parallel'],
    [{ output: '-', n: 2 }, '"-o -" takes one image, not the 2 of --n'],
    [{ output: '-', n: 2, mask: 'a.png' }, '--mask needs --image; "-o -" takes one image, not the 2 of --n'],
  ])('%j are refused in one sentence', (flags, problems) => {
    expect(() => checkFlagsTogether(flags, false)).toThrow(`These flags do not go together: ${problems}.`)
  })

  it.each<GenerateFlags>([
    { from: 'a.png', mask: 'b.png', strength: 0.5, 'variation-strength': 0.2 },
    { image: 'a.png', mask: 'b.png', strength: 0.5 },
    { 'variation-seed': 1, 'variation-strength': 0.2, ...A1111 },
    { output: '-', n: 1 },
  ])('%j are fine', (flags) => {
    expect(() => checkFlagsTogether(flags, false)).not.toThrow()
  })

  it('cannot both write to stdout', () => {
    expect(() => checkFlagsTogether({ output: '-' }, true)).toThrow('"-o -" and --json both write to stdout')
  })
})

describe('preferTyped', () => {
  const both = { 'lora-at': 2, 'lora-bound': 3 }

  it.each([
    [['lora-at'], { 'lora-at': 2, 'lora-bound': undefined }],
    [['lora-bound'], { 'lora-at': undefined, 'lora-bound': 3 }],
    [['lora-at', 'lora-bound'], both],
    [[], both],
  ])('with %j on the command line', (names, expected) => {
    expect(preferTyped(both, (name) => names.includes(name))).toEqual(expected)
  })
})
