import { SwiftdError } from '../errors.js'
import type { PromptFragment } from './prompt-parser.js'
import { MAX_PROMPT_TOKENS, type ClipTokenizer } from './tokenizer.js'

/** As much of a prompt as a text encoder reads at once. */
export interface PromptChunk {
  /** `contextLength` token ids: begin, tokens, end, padding. */
  readonly ids: readonly number[]
  /** The weight of each of them; 1 for begin, end and padding. */
  readonly weights: readonly number[]
}

/** Text after a comma moves to the next chunk if it has at most this many tokens (the reference's default). */
const COMMA_BACKTRACK = 20

/** As many as the longest prompt has without a BREAK. */
const MAX_CHUNKS = Math.ceil(MAX_PROMPT_TOKENS / 75)

/**
 * Lays a prompt out in chunks of 75 tokens, each framed by begin and end, as stable-diffusion-webui does
 * (`tokenize_line` of modules/sd_hijack_clip.py): a BREAK fills up the chunk, and words that would be torn from their
 * phrase go to the next chunk from the last comma on. Fragments are tokenised one by one.
 * @returns at least one chunk
 * @throws SwiftdError PROMPT_TOO_LONG beyond MAX_PROMPT_TOKENS tokens or as many chunks as they fill
 */
export function chunkPrompt(tokenizer: ClipTokenizer, fragments: readonly PromptFragment[]): PromptChunk[] {
  const room = tokenizer.contextLength - 2
  const comma = commaId(tokenizer)
  const chunks: PromptChunk[] = []
  let tokens: WeightedToken[] = []
  let lastComma = -1
  let tokenCount = 0

  const finish = (rest: WeightedToken[] = []): void => {
    chunks.push(frame(tokenizer, tokens))
    if (chunks.length > MAX_CHUNKS) throw tooLong(`more than ${MAX_CHUNKS} chunks of ${room} tokens`)
    tokens = rest
    lastComma = -1
  }
  for (const fragment of fragments) {
    if (fragment.kind === 'break') {
      finish()
      continue
    }
    for (const id of tokenizer.tokenIds(fragment.text)) {
      if (++tokenCount > MAX_PROMPT_TOKENS) throw tooLong(`more than ${MAX_PROMPT_TOKENS} tokens`)
      if (id === comma) lastComma = tokens.length
      else if (tokens.length === room && lastComma >= 0 && room - lastComma <= COMMA_BACKTRACK) {
        finish(tokens.splice(lastComma + 1))
      }
      if (tokens.length === room) finish()
      tokens.push({ id, weight: fragment.weight })
    }
  }
  if (tokens.length > 0 || chunks.length === 0) finish()
  return chunks
}

/** The chunk of an empty prompt. */
export function emptyChunk(tokenizer: ClipTokenizer): PromptChunk {
  return frame(tokenizer, [])
}

interface WeightedToken {
  readonly id: number
  readonly weight: number
}

/** The reference fills with end tokens, and puts padding after the first of them where the encoder has its own. */
function frame({ contextLength, beginId, endId, padId }: ClipTokenizer, tokens: readonly WeightedToken[]): PromptChunk {
  const ids = [beginId, ...tokens.map(({ id }) => id)]
  const weights = [1, ...tokens.map(({ weight }) => weight)]
  while (ids.length < contextLength) {
    ids.push(endId)
    weights.push(1)
  }
  return { ids: padId === endId ? ids : ids.fill(padId, ids.indexOf(endId) + 1), weights }
}

/** Only a comma that is a token of its own is one to break at. */
function commaId(tokenizer: ClipTokenizer): number | undefined {
  const ids = tokenizer.tokenIds(',')
  return ids.length === 1 ? ids[0] : undefined
}

function tooLong(size: string): SwiftdError {
  return new SwiftdError('PROMPT_TOO_LONG', `The prompt has ${size}; shorten it.`)
}
