import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { chunkPrompt, emptyChunk, type PromptChunk } from './prompt-chunks.js'
import { parsePromptAttention } from './prompt-parser.js'
import { openTokenizer, type ClipTokenizer } from './tokenizer.js'

const fixtures = join(import.meta.dirname, '../../../fixtures')
let clip: ClipTokenizer
let zeroPadded: ClipTokenizer

beforeAll(async () => {
  clip = await openTokenizer(join(fixtures, 'tokenizers/clip'))
  zeroPadded = await openTokenizer(join(fixtures, 'tokenizers/clip-zero-padded'))
})

function chunk(prompt: string, tokenizer = clip): PromptChunk[] {
  return chunkPrompt(tokenizer, parsePromptAttention(prompt))
}

/** The tokens of a chunk without begin, end and padding. */
function tokensOf({ ids }: PromptChunk): number[] {
  return ids.slice(1, ids.indexOf(clip.endId))
}

const words = (count: number): string => 'cat '.repeat(count)

describe('chunkPrompt', () => {
  it.each(['', 'a photo of a cat, sharp focus', 'cat '.repeat(75), 'Ünïcödé ☃ 猫'])(
    'frames %j as the tokenizer does',
    (prompt) => {
      for (const tokenizer of [clip, zeroPadded]) {
        const chunks = chunk(prompt, tokenizer)
        expect(chunks).toEqual([{ ids: tokenizer.encode(prompt).ids, weights: Array<number>(77).fill(1) }])
      }
    },
  )

  it('gives every token the weight of its text, and 1 to begin, end and padding', () => {
    const [{ ids, weights }] = chunk('a (white cat:1.5) [sleeps]')
    const [a, white, cat, sleeps] = clip.tokenIds('a white cat sleeps')
    expect(ids.slice(0, 6)).toEqual([clip.beginId, a, white, cat, sleeps, clip.endId])
    expect(weights.slice(0, 5)).toEqual([1, 1, 1.5, 1.5, 1 / 1.1])
    expect(weights.slice(5)).toEqual(Array<number>(72).fill(1))
  })

  it('fills chunks of 75 tokens and leaves nothing out', () => {
    const prompt = Array.from({ length: 180 }, (_, i) => (i % 2 ? 'cat' : 'dog')).join(' ')
    const chunks = chunk(prompt)
    expect(chunks.map((each) => tokensOf(each).length)).toEqual([75, 75, 30])
    expect(chunks.flatMap(tokensOf)).toEqual(clip.tokenIds(prompt))
    for (const { ids, weights } of chunks) expect([ids.length, weights.length, ids[0]]).toEqual([77, 77, clip.beginId])
  })

  it('begins no new chunk after exactly 75 tokens', () => {
    expect(chunk(words(75))).toHaveLength(1)
    expect(chunk(words(76))).toHaveLength(2)
  })

  it('moves up to 20 tokens after the last comma to the next chunk', () => {
    // 56 tokens up to the comma, which is the 57th: 18 words follow it in the chunk.
    const chunks = chunk(`${words(56)}, ${words(30)}`)
    expect(chunks.map((each) => tokensOf(each).length)).toEqual([57, 30])
    expect(tokensOf(chunks[0]).at(-1)).toBe(clip.tokenIds(',')[0])
  })

  it.each([
    [54, [75, 10]],
    [55, [56, 29]],
  ])('leaves more than that where it is (a comma after %i tokens)', (before, lengths) => {
    const chunks = chunk(`${words(before)}, ${words(84 - before)}`)
    expect(chunks.map((each) => tokensOf(each).length)).toEqual(lengths)
  })

  it('keeps the weights of tokens that move', () => {
    const [first, second] = chunk(`${words(60)}, (${words(20)}:1.3)`)
    expect(first.weights.every((weight) => weight === 1)).toBe(true)
    expect(second.weights.slice(0, 22)).toEqual([1, ...Array<number>(20).fill(1.3), 1])
  })

  it('fills a chunk up at BREAK', () => {
    const chunks = chunk('a cat BREAK a dog')
    expect(chunks).toEqual([...chunk('a cat'), ...chunk('a dog')])
    expect(chunk('BREAK a')).toEqual([emptyChunk(clip), ...chunk('a')])
    expect(chunk('a BREAK')).toEqual(chunk('a'))
  })

  it('puts padding behind the first end token of encoders that have one', () => {
    const [{ ids }] = chunk('a <|endoftext|> cat', zeroPadded)
    expect(ids.slice(0, 4)).toEqual([
      zeroPadded.beginId,
      ...zeroPadded.tokenIds('a'),
      zeroPadded.endId,
      zeroPadded.padId,
    ])
    expect(new Set(ids.slice(3))).toEqual(new Set([zeroPadded.padId]))
  })

  it.each([
    ['pieces that together have too many tokens', `(${words(1500)}) ${words(501)}`, '2000 tokens'],
    ['too many BREAKs', 'BREAK '.repeat(30), '27 chunks'],
  ])('refuses %s', (_, prompt, size) => {
    const message = expect.stringContaining(size) as string
    expect(() => chunk(prompt)).toThrow(expect.objectContaining({ code: 'PROMPT_TOO_LONG', message }) as Error)
  })
})
