/**
 * The prompt syntax of stable-diffusion-webui (AUTOMATIC1111), the part about attention: `(word)`, `(word:1.2)`,
 * `[word]`, escapes and `BREAK` (`parse_prompt_attention` of its modules/prompt_parser.py, version 1.10).
 * Scheduling, `[a:b:0.5]` and `[a|b]`, is resolved before (`prompt-schedule.ts`).
 */

import { SwiftdError } from '../errors.js'

/** A piece of a prompt. */
export type PromptFragment =
  | { readonly kind: 'text'; readonly text: string; readonly weight: number }
  /** What follows begins a new chunk. */
  | { readonly kind: 'break' }

const ROUND_FACTOR = 1.1
const SQUARE_FACTOR = 1 / 1.1

/** A backslash with what it escapes, a bracket, a weight with its closing bracket, a colon, or text without any of them. */
const TOKENS = /\\[()[\]\\]?|[([]|:\s*([+-]?[.\d]+)\s*\)|[)\]]|[^\\()[\]:]+|:/g

/** `\b` as Python has it: letters and digits of all scripts belong to words. */
const WORD = '[\\p{L}\\p{N}_]'
const BREAK = new RegExp(`(?<!${WORD})BREAK(?!${WORD})`, 'u')
const AND = new RegExp(`(?<!${WORD})AND(?!${WORD})`, 'u')

/** The weight that marks a BREAK until all brackets are closed. */
const BREAK_WEIGHT = -1

interface Piece {
  text: string
  weight: number
}

/**
 * Splits a prompt into pieces of one weight each. Nested brackets multiply, brackets without a partner reach to the end
 * or mean nothing, neighbours of equal weight are one piece. Any text is accepted.
 *
 * As in stable-diffusion-webui, a BREAK inside of brackets is weighted like text, and then read as the word it is.
 */
export function parsePromptAttention(prompt: string): PromptFragment[] {
  const pieces: Piece[] = []
  const round: number[] = []
  const square: number[] = []
  const close = (begin: number, factor: number): void => {
    for (const piece of pieces.slice(begin)) piece.weight *= factor
  }

  for (const [token, weight] of prompt.matchAll(TOKENS)) {
    if (token.startsWith('\\')) pieces.push({ text: token.slice(1), weight: 1 })
    else if (token === '(') round.push(pieces.length)
    else if (token === '[') square.push(pieces.length)
    else if (isWeight(weight) && round.length > 0) close(round.pop() ?? 0, Number(weight))
    else if (token === ')' && round.length > 0) close(round.pop() ?? 0, ROUND_FACTOR)
    else if (token === ']' && square.length > 0) close(square.pop() ?? 0, SQUARE_FACTOR)
    else pieces.push(...splitAtBreaks(token))
  }
  for (const begin of round) close(begin, ROUND_FACTOR)
  for (const begin of square) close(begin, SQUARE_FACTOR)
  return mergeEqualWeights(pieces).map(toFragment)
}

/**
 * Takes comments out of a prompt: what follows a `#` in its line (`strip_comments` of stable-diffusion-webui's
 * modules/processing_scripts/comments.py, on by default).
 */
export function stripComments(prompt: string): string {
  return prompt.replace(/(^|\n)#[^\n]*(\n|$)/g, '\n').replace(/#[^\n]*(\n|$)/g, '\n')
}

/**
 * Refuses positive prompts that compose several. stable-diffusion-webui reads `a cat AND a dog:0.5` as two prompts with
 * their weights, and a number at the end of one prompt, as in `a cat:0.5`, as a factor of its guidance scale (`re_AND`
 * and `re_weight` of modules/prompt_parser.py).
 * @returns the prompt, without a weight of 1 at its end
 * @throws SwiftdError INVALID_REQUEST
 */
export function refuseComposition(prompt: string): string {
  if (AND.test(prompt)) {
    const sentence = 'The prompt composes several with AND, which swiftd does not do; write “and”, or one prompt.'
    throw new SwiftdError('INVALID_REQUEST', sentence)
  }
  const end = /:\s*([-+]?(?:\d+\.?|\d*\.\d+))\s*$/.exec(prompt)
  const text = prompt.slice(0, end?.index)
  // The reference's pattern does not see the end of a prompt of several lines.
  if (!end || text.trim().includes('\n')) return prompt
  if (Number(end[1]) === 1) return text
  const weight = end[0].trim()
  const sentence = `The prompt ends with “${weight}”, the weight of a prompt that is composed with AND, which swiftd does not do; take it away, or write “(text${weight})” to weight words.`
  throw new SwiftdError('INVALID_REQUEST', sentence)
}

/** `1.2.3` looks like a weight but is none. */
function isWeight(text: string | undefined): boolean {
  return text !== undefined && Number.isFinite(Number(text))
}

/** A BREAK takes the white space around it along. */
function splitAtBreaks(text: string): Piece[] {
  const [first, ...others] = text.split(BREAK)
  const pieces = [{ text: first ?? '', weight: 1 }]
  for (const other of others) {
    const last = pieces[pieces.length - 1]
    if (last) last.text = last.text.trimEnd()
    pieces.push({ text: 'BREAK', weight: BREAK_WEIGHT }, { text: other.trimStart(), weight: 1 })
  }
  return pieces
}

function mergeEqualWeights(pieces: readonly Piece[]): Piece[] {
  const merged: Piece[] = []
  for (const piece of pieces) {
    const last = merged[merged.length - 1]
    if (last?.weight === piece.weight) last.text += piece.text
    else merged.push({ ...piece })
  }
  return merged.length > 0 ? merged : [{ text: '', weight: 1 }]
}

function toFragment({ text, weight }: Piece): PromptFragment {
  return text === 'BREAK' && weight === BREAK_WEIGHT ? { kind: 'break' } : { kind: 'text', text, weight }
}
