import type { ClipTokenizer, EncodedPrompt } from '../text/tokenizer.js'
import {
  constantText,
  encodeTokens,
  zerosLike,
  type BatchTexts,
  type ConditioningInputs,
  type EncodedText,
} from './encoded-text.js'
import { batchPrompts, isGuided } from './request.js'

/**
 * Encodes the prompts of a request as diffusers' pipelines do (`encode_prompt`): brackets are text like any other, and
 * what goes beyond the text encoder's 75 tokens is left out.
 */
export async function encodeDiffusersPrompts(inputs: ConditioningInputs): Promise<BatchTexts> {
  const { checkpoint, request } = inputs
  const { prompts, negativePrompts } = batchPrompts(request)
  const encode = createEncoder(inputs)

  const positive: EncodedText[] = []
  for (const text of prompts) positive.push(await encode(text, request.prompt2, request.clipSkip))
  if (!isGuided(request)) return { negative: [], positive: positive.map(constantText) }

  const zeros = checkpoint.family === 'sdxl' && checkpoint.forceZerosForEmptyPrompt ? zerosLike(positive[0]) : undefined
  const negative: EncodedText[] = []
  for (const text of negativePrompts) {
    // diffusers leaves the negative prompt's layers whole, whatever clip_skip says.
    const encoded = text === null && zeros ? zeros : await encode(text ?? '', request.negativePrompt2, undefined)
    negative.push(encoded)
  }
  return { negative: negative.map(constantText), positive: positive.map(constantText) }
}

/** Encodes prompts, each distinct one once. */
function createEncoder({ tokenizers, stages, onNote }: ConditioningInputs) {
  const encoded = new Map<string, EncodedText>()
  return async (text: string, text2: string | undefined, clipSkip: number | undefined): Promise<EncodedText> => {
    const key = JSON.stringify([text, text2, clipSkip])
    const known = encoded.get(key)
    if (known) return known
    const tokens = tokenizers.map((tokenizer, index) => tokenizer.encode(index === 0 ? text : (text2 ?? text)))
    noteTruncation(tokens[0], tokenizers[0], onNote)
    const made = await encodeTokens(
      stages,
      tokens.map(({ ids }) => ids),
      clipSkip,
    )
    encoded.set(key, made)
    return made
  }
}

function noteTruncation(
  { tokenCount, truncatedText }: EncodedPrompt,
  { contextLength }: ClipTokenizer,
  onNote?: (sentence: string) => void,
): void {
  if (truncatedText === undefined) return
  const limit = contextLength - 2
  onNote?.(`The prompt has ${tokenCount} tokens, but the model reads ${limit}; left out: “${truncatedText.trim()}”.`)
}
