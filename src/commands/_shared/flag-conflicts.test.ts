import { describe, expect, it } from 'vitest'
import { checkFlagsTogether, preferTyped, type Besides } from './flag-conflicts.js'
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
    expect(() => checkFlagsTogether(flags)).toThrow(`These flags do not go together: ${problems}.`)
  })

  it.each<GenerateFlags>([
    { from: 'a.png', mask: 'b.png', strength: 0.5, 'variation-strength': 0.2 },
    { image: 'a.png', mask: 'b.png', strength: 0.5 },
    { 'variation-seed': 1, 'variation-strength': 0.2, ...A1111 },
    { output: '-', n: 1 },
  ])('%j are fine', (flags) => {
    expect(() => checkFlagsTogether(flags)).not.toThrow()
  })

  it.each<[GenerateFlags, Besides, string]>([
    [{ jsonl: true, output: '-' }, {}, '"-o -" and --jsonl both write to stdout'],
    [{ jsonl: true }, { json: true }, '--json prints one document and --jsonl a line for each event'],
    [{ detach: true, output: '-' }, {}, '--detach does not wait for the image of -o; "jobs wait -o" saves it'],
    [{ detach: true, jsonl: true }, {}, '--detach does not wait for the events of --jsonl'],
    [
      { detach: true, show: true, timeout: 5 },
      {},
      '--detach does not wait for the image of --show; ' +
        '--detach does not wait, so that there is nothing for --timeout to end',
    ],
    [
      { 'prompts-file': 'a.txt' },
      { prompt: 'x', lines: true },
      'the prompts are those of --prompts-file or the one that is given',
    ],
    [{ from: 'a.png' }, { lines: true }, '--from makes one image again and takes no file of prompts'],
  ])('%j are refused beside %j', (flags, besides, problems) => {
    expect(() => checkFlagsTogether(flags, besides)).toThrow(`These flags do not go together: ${problems}.`)
  })

  it('may need what lines of a file say', () => {
    expect(() => checkFlagsTogether({ strength: 0.5, output: '-', n: 2 }, { lines: true })).not.toThrow()
  })

  it('cannot both write to stdout', () => {
    expect(() => checkFlagsTogether({ output: '-' }, { json: true })).toThrow('"-o -" and --json both write to stdout')
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

  it.each<[string[], GenerateFlags, GenerateFlags]>([
    [['detach'], { detach: true, output: 'a.png', timeout: 3 }, { detach: true }],
    [[], { detach: true, output: 'a.png' }, { detach: true }],
    [['output'], { detach: true, output: 'a.png' }, { output: 'a.png' }],
    [['json'], { jsonl: true }, {}],
    [['prompt'], { 'prompts-file': 'a.txt' }, {}],
  ])('with %j on the command line makes %j to %j', (names, flags, expected) => {
    expect(preferTyped(flags, (name) => names.includes(name))).toEqual(expected)
  })
})
