import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { MAX_PROMPT_CHARACTERS, MAX_PROMPT_TOKENS, openTokenizer } from './tokenizer.js'

const goldens = join(import.meta.dirname, '../../../fixtures/goldens')
const sd15 = join(goldens, 'sd15/model/tokenizer')
const copies: string[] = []

/** A tokenizer folder that a test may damage. */
function copyOf(source: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'swiftd-tokenizer-'))
  copies.push(directory)
  cpSync(source, directory, { recursive: true })
  return directory
}

afterEach(() => {
  for (const directory of copies.splice(0)) rmSync(directory, { recursive: true })
})

interface TokenizerCase {
  kind: string
  id: string
  tokenizer: string
  prompt: string
  ids: number[]
  unpadded_length: number
  accepted_alternatives: Record<string, number[]>
}

describe('encode', () => {
  it.each(['sd15', 'sd21', 'sdxl'])('gives the ids of every %s case', async (family) => {
    const all = JSON.parse(readFileSync(join(goldens, family, 'cases.json'), 'utf8')) as { cases: TokenizerCase[] }
    const cases = all.cases.filter((entry) => entry.kind === 'tokenizer')
    expect(cases.length).toBeGreaterThan(20)
    for (const entry of cases) {
      const tokenizer = await openTokenizer(join(goldens, family, 'model', entry.tokenizer))
      const { ids, tokenCount } = tokenizer.encode(entry.prompt)
      expect([entry.ids, ...Object.values(entry.accepted_alternatives)], entry.id).toContainEqual(ids)
      if (ids.join() === entry.ids.join()) expect(tokenCount + 2, entry.id).toBe(entry.unpadded_length)
    }
  })

  it('pads with each tokenizer’s own token', async () => {
    const first = await openTokenizer(join(goldens, 'sdxl/model/tokenizer'))
    const second = await openTokenizer(join(goldens, 'sdxl/model/tokenizer_2'))
    expect(first.encode('').ids).toEqual([first.beginId, ...Array<number>(76).fill(first.endId)])
    expect(second.encode('').ids).toEqual([second.beginId, second.endId, ...Array<number>(75).fill(0)])
  })

  it('keeps the first 75 tokens and says what it left out', async () => {
    const tokenizer = await openTokenizer(sd15)
    const text = 'fox '.repeat(80) + 'Blue  Moon'
    const whole = tokenizer.tokenIds(text)
    const { ids, tokenCount, truncatedText } = tokenizer.encode(text)
    expect(ids).toEqual([tokenizer.beginId, ...whole.slice(0, 75), tokenizer.endId])
    expect(tokenCount).toBe(whole.length)
    expect(truncatedText).toMatch(/fox blue moon$/)
    expect(tokenizer.tokenIds(truncatedText!)).toEqual(whole.slice(75))
  })

  it('leaves nothing out of a prompt of exactly 75 tokens', async () => {
    const tokenizer = await openTokenizer(sd15)
    const text = 'a '.repeat(75)
    const encoded = tokenizer.encode(text)
    expect(encoded.tokenCount).toBe(75)
    expect(encoded).not.toHaveProperty('truncatedText')
    expect(tokenizer.encode(text + 'a').truncatedText).toBe('a')
  })

  it('gives ids of the vocabulary for any text', async () => {
    const tokenizer = await openTokenizer(sd15)
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.string({ unit: 'grapheme', maxLength: 200 }),
      fc.constantFrom('\ud800', '__proto__', 'constructor', '<|startoftext|><|endoftext|>', '\u0000', "'s 'S"),
    )
    fc.assert(
      fc.property(text, (prompt) => {
        const { ids } = tokenizer.encode(prompt)
        expect(ids).toHaveLength(77)
        expect(ids.every((id) => Number.isInteger(id) && id >= 0 && id <= tokenizer.endId)).toBe(true)
      }),
    )
  })

  it('refuses a prompt of 10,000 words with their number', async () => {
    const tokenizer = await openTokenizer(sd15)
    const prompt = 'word '.repeat(10_000)
    expect(() => tokenizer.encode(prompt)).toThrow(
      expect.objectContaining({ code: 'PROMPT_TOO_LONG', message: expect.stringContaining('10000 words') as string }),
    )
  })

  it('accepts exactly the longest prompt', async () => {
    const tokenizer = await openTokenizer(sd15)
    expect(tokenizer.tokenIds('a '.repeat(MAX_PROMPT_TOKENS))).toHaveLength(MAX_PROMPT_TOKENS)
    const tooMany = expect.objectContaining({ code: 'PROMPT_TOO_LONG' }) as Error
    expect(() => tokenizer.tokenIds('a '.repeat(MAX_PROMPT_TOKENS + 1))).toThrow(tooMany)
    expect(tokenizer.tokenIds(' '.repeat(MAX_PROMPT_CHARACTERS))).toEqual([])
    expect(() => tokenizer.tokenIds(' '.repeat(MAX_PROMPT_CHARACTERS + 1))).toThrow(tooMany)
  })
})

describe('openTokenizer', () => {
  it.each(['vocab.json', 'merges.txt', 'tokenizer_config.json'])('names a missing %s', async (name) => {
    const directory = copyOf(sd15)
    rmSync(join(directory, name))
    await expect(openTokenizer(directory)).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringContaining(`${name} is missing`) as string,
    })
  })

  it.each([
    ['vocab.json', '{"a": ', 'vocab.json is not JSON'],
    ['vocab.json', '[]', 'vocab.json is not a JSON object'],
    ['vocab.json', '{"a": "b"}', 'gives "a" the id "b"'],
    ['vocab.json', '{"a": 1}', '"<|startoftext|>" is not in the vocabulary'],
    ['merges.txt', '#version: 0.2\na b c\n', 'the merge "a b c"'],
    ['special_tokens_map.json', 'null', 'special_tokens_map.json is not a JSON object'],
    ['tokenizer_config.json', '{"model_max_length": "long"}', 'model_max_length is "long"'],
    ['tokenizer_config.json', '{"model_max_length": 0}', 'model_max_length is 0'],
  ])('explains a malformed %s (%s)', async (name, text, sentence) => {
    const directory = copyOf(sd15)
    writeFileSync(join(directory, name), text)
    await expect(openTokenizer(directory)).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringContaining(sentence) as string,
    })
  })

  it('takes the special tokens from tokenizer_config.json where there is no map', async () => {
    const directory = copyOf(join(goldens, 'sd21/model/tokenizer'))
    rmSync(join(directory, 'special_tokens_map.json'))
    expect((await openTokenizer(directory)).padId).toBe(0)
  })

  it('reads a vocabulary from tokenizer.json where that is all there is', async () => {
    const source = join(goldens, '../models/tiny-shapes-xl/tokenizer')
    const directory = copyOf(source)
    rmSync(join(directory, 'vocab.json'))
    rmSync(join(directory, 'merges.txt'))
    const text = 'A red circle, left of a Blue square!!'
    expect((await openTokenizer(directory)).encode(text)).toEqual((await openTokenizer(source)).encode(text))
  })

  it('takes an unset model_max_length for 77', async () => {
    const directory = copyOf(sd15)
    writeFileSync(join(directory, 'tokenizer_config.json'), '{"model_max_length": 1e30}')
    expect((await openTokenizer(directory)).contextLength).toBe(77)
  })
})
