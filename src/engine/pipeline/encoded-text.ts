import type { ClipTokenizer } from '../text/tokenizer.js'
import type { Checkpoint } from '../weights/checkpoint.js'
import type { GenerateRequest } from './request.js'
import type { Stages } from './stages.js'

/** One text as the UNet reads it, in ordinary memory. */
export interface EncodedText {
  /** (S, C): the text encoders' hidden states, joined along C where there are two. */
  readonly hiddenStates: Float32Array
  /** S: 77 for each chunk. */
  readonly length: number
  /** (P): the pooled projection, only for SDXL. */
  readonly pooled?: Float32Array
}

/** What one row of the batch reads, in the order of the model calls; the last entry holds to the end. */
export type TextSchedule = readonly {
  readonly text: EncodedText
  /** The last model call of `text`, counted from 0. */
  readonly lastCall: number
}[]

/** The rows of a batch. Without guidance there are no negative ones. */
export interface BatchTexts {
  readonly negative: readonly TextSchedule[]
  readonly positive: readonly TextSchedule[]
}

/** What the encoding of a request's prompts needs. */
export interface ConditioningInputs {
  readonly checkpoint: Checkpoint
  /** One for each text encoder. */
  readonly tokenizers: readonly ClipTokenizer[]
  readonly stages: Stages
  readonly request: GenerateRequest
  /** Model calls of the scheduler. */
  readonly calls: number
  /** What `[a:b:0.5]` halves: the steps, times the scheduler's order. img2img begins at the first of them, too. */
  readonly scheduleCalls: number
  /** Told what a person should know, such as that the end of a prompt was left out. */
  readonly onNote?: (sentence: string) => void
}

/** A text that never changes. */
export function constantText(text: EncodedText): TextSchedule {
  return [{ text, lastCall: Infinity }]
}

/** Encodes one row of token ids for each text encoder; see `Stages.encodePrompt`. */
export async function encodeTokens(
  stages: Stages,
  tokens: readonly (readonly number[])[],
  clipSkip: number | undefined,
): Promise<EncodedText> {
  const { hiddenStates, pooled } = await stages.encodePrompt(tokens, clipSkip)
  const text = {
    hiddenStates: hiddenStates.data.slice(),
    length: hiddenStates.dims[1] ?? 0,
    ...(pooled && { pooled: pooled.data.slice() }),
  }
  hiddenStates.release()
  pooled?.release()
  return text
}

/** All zeros in the shape of another text, `length` long. */
export function zerosLike({ hiddenStates, pooled, ...text }: EncodedText, length = text.length): EncodedText {
  return {
    hiddenStates: new Float32Array((hiddenStates.length / text.length) * length),
    length,
    ...(pooled && { pooled: new Float32Array(pooled.length) }),
  }
}

/** Joins texts along the sequence; the pooled projection is the first one's. */
export function joinTexts(texts: readonly [EncodedText, ...EncodedText[]]): EncodedText {
  const [first, ...others] = texts
  if (others.length === 0) return first
  const hiddenStates = new Float32Array(texts.reduce((sum, text) => sum + text.hiddenStates.length, 0))
  let at = 0
  for (const text of texts) {
    hiddenStates.set(text.hiddenStates, at)
    at += text.hiddenStates.length
  }
  return { ...first, hiddenStates, length: texts.reduce((sum, text) => sum + text.length, 0) }
}
