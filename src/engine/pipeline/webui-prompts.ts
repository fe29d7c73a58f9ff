import { SwiftdError } from '../errors.js'
import { extractLoraTags } from '../text/lora-tags.js'
import { chunkPrompt, emptyChunk, type PromptChunk } from '../text/prompt-chunks.js'
import { parsePromptAttention, refuseComposition, stripComments, type PromptFragment } from '../text/prompt-parser.js'
import { schedulePrompt, type ScheduledText } from '../text/prompt-schedule.js'
import { checkPromptLength } from '../text/tokenizer.js'
import { applyEmphasis } from './emphasis.js'
import {
  constantText,
  encodeTokens,
  joinTexts,
  zerosLike,
  type BatchTexts,
  type ConditioningInputs,
  type EncodedText,
  type TextSchedule,
} from './encoded-text.js'
import { batchPrompts, isGuided } from './request.js'

/** Beyond this a weight is a slip of the hand, and its products leave float32. */
const MAX_WEIGHT = 1000

/**
 * Encodes the prompts of a request as stable-diffusion-webui does (modules/sd_hijack_clip.py, modules/prompt_parser.py and
 * modules/sd_models_xl.py of version 1.10): weights, chunks of 75 tokens, prompts that change with the step.
 * @throws SwiftdError INVALID_REQUEST for prompts composed with AND and weights over MAX_WEIGHT, PROMPT_TOO_LONG
 */
export async function encodeWebuiPrompts(inputs: ConditioningInputs): Promise<BatchTexts> {
  const { checkpoint, tokenizers, request } = inputs
  const { prompts, negativePrompts } = batchPrompts(request)
  const encoder = createEncoder(inputs)

  const positive: TextSchedule[] = []
  for (const prompt of prompts) positive.push(await encoder.schedule(refuseComposition(encoder.clean(prompt))))
  const longest = Math.max(...positive.map(([first]) => first.text.length))
  const equal = mapTexts(positive, (text) => repeatLast(text, longest))
  if (!isGuided(request)) return { negative: [], positive: equal }

  const chunkLength = tokenizers[0].contextLength
  const negative: TextSchedule[] = []
  for (const prompt of negativePrompts) {
    const text = encoder.clean(prompt ?? '')
    // SDXL's empty negative prompt is all zeros, whatever the model says (`force_zero_negative_prompt`).
    const zero = checkpoint.family === 'sdxl' && text === ''
    negative.push(zero ? constantText(zerosLike(equal[0][0].text, chunkLength)) : await encoder.schedule(text))
  }
  const lengths = [...negative, ...equal].map(([first]) => first.text.length)
  const length = Math.max(...lengths)
  if (lengths.every((each) => each === length)) return { negative, positive: equal }
  const empty = await encoder.empty()
  const pad = (text: EncodedText): EncodedText => padWith(empty, text, length)
  return { negative: mapTexts(negative, pad), positive: mapTexts(equal, pad) }
}

/** Encodes prompts, each distinct chunk and schedule once. */
function createEncoder({ checkpoint, tokenizers, stages, request, scheduleCalls, onNote }: ConditioningInputs) {
  const clipSkip = stageClipSkip({ checkpoint, request, onNote })
  const widths = checkpoint.textEncoders.map(({ config }) => config.hidden_size)
  const chunks = new Map<string, Promise<EncodedText>>()
  const schedules = new Map<string, TextSchedule>()
  const leftOut = new Set<string>()

  /** One chunk as all encoders read it, without its weights. */
  const encodeChunk = (chunk: readonly PromptChunk[]): Promise<EncodedText> => {
    const ids = chunk.map((each) => each.ids)
    const key = JSON.stringify(ids)
    const encoded = chunks.get(key) ?? encodeTokens(stages, ids, clipSkip)
    chunks.set(key, encoded)
    return encoded
  }
  const emptyChunks = tokenizers.map(emptyChunk)

  /** The texts of one schedule; the reference encodes them as one batch, chunk by chunk. */
  async function encodeTexts(texts: readonly ScheduledText[]): Promise<Map<string, EncodedText>> {
    const counts = new Map<string, number>()
    for (const { text } of texts) counts.set(text, (counts.get(text) ?? 0) + 1)
    const layouts = [...counts.keys()].map((text) => layOut(tokenizers, text))
    const length = Math.max(...layouts.flat().map((layout) => layout.length))
    const parts: EncodedText[][] = layouts.map(() => [])
    for (let index = 0; index < length; index++) {
      const batch = layouts.map((layout) => layout.map((each, encoder) => each[index] ?? emptyChunks[encoder]))
      const raw: EncodedText[] = []
      for (const chunk of batch) raw.push(await encodeChunk(chunk))
      const weighted = applyEmphasis(
        raw.map(({ hiddenStates }, text) => ({
          states: hiddenStates,
          weights: batch[text].map(({ weights }) => weights),
          count: [...counts.values()][text],
        })),
        widths,
        request.emphasis ?? 'original',
      )
      weighted.forEach((hiddenStates, text) => parts[text].push({ ...raw[text], hiddenStates }))
    }
    return new Map([...counts.keys()].map((text, index) => [text, joinTexts(parts[index] as [EncodedText])]))
  }

  return {
    /** The prompt without comments and LoRA tags. */
    clean(prompt: string): string {
      checkPromptLength(prompt)
      const { prompt: text, loras } = extractLoraTags(stripComments(prompt))
      for (const { tag } of loras) {
        if (!leftOut.has(tag)) onNote?.(`“${tag}” was left out of the prompt; it names a LoRA, which is no text.`)
        leftOut.add(tag)
      }
      return text
    },
    async schedule(prompt: string): Promise<TextSchedule> {
      const known = schedules.get(prompt)
      if (known) return known
      const texts = schedulePrompt(prompt, scheduleCalls)
      const encoded = await encodeTexts(texts)
      // The reference counts its calls from 0 and changes after the call that has the end's number
      // (`reconstruct_cond_batch`): the first text of [a:b:5] is read at six calls.
      const schedule = texts.map(({ text, endAtStep }) => ({
        text: encoded.get(text) as EncodedText,
        lastCall: endAtStep,
      }))
      schedules.set(prompt, schedule)
      return schedule
    },
    empty: () => encodeChunk(emptyChunks),
  }
}

/** The chunks of a text for each tokenizer. */
function layOut(tokenizers: ConditioningInputs['tokenizers'], text: string): PromptChunk[][] {
  const fragments = parsePromptAttention(text)
  fragments.forEach(checkWeight)
  return tokenizers.map((tokenizer) => chunkPrompt(tokenizer, fragments))
}

function checkWeight(fragment: PromptFragment): void {
  if (fragment.kind === 'break' || Math.abs(fragment.weight) <= MAX_WEIGHT) return
  const weight = Number(fragment.weight.toPrecision(3))
  const sentence = `“${fragment.text.trim().slice(0, 40)}” has the weight ${weight} in the prompt; at most ${MAX_WEIGHT} is allowed.`
  throw new SwiftdError('INVALID_REQUEST', sentence)
}

/**
 * stable-diffusion-webui's clip skip, where 1 leaves out nothing, in the stages' counting. It holds for both prompts. Only
 * SD1.x heeds it: SD2.x (`FrozenOpenCLIPEmbedderWithCustomWords`) and SDXL (`sdxl_clip_l_skip` is off by default) do not.
 */
function stageClipSkip({
  checkpoint,
  request: { clipSkip = 1 },
  onNote,
}: Pick<ConditioningInputs, 'checkpoint' | 'request' | 'onNote'>): number | undefined {
  if (clipSkip === 1) return undefined
  if (checkpoint.family === 'sd' && checkpoint.textEncoders[0].config.hidden_act === 'quick_gelu') return clipSkip - 1
  onNote?.(`The clip skip of ${clipSkip} has no effect: in A1111's prompt syntax only SD1.x models heed it.`)
  return undefined
}

/** Replaces texts; one text stays one. */
function mapTexts(schedules: readonly TextSchedule[], replace: (text: EncodedText) => EncodedText): TextSchedule[] {
  const made = new Map<EncodedText, EncodedText>()
  const once = (text: EncodedText): EncodedText => {
    const result = made.get(text) ?? replace(text)
    made.set(text, result)
    return result
  }
  return schedules.map((schedule) => schedule.map(({ text, lastCall }) => ({ text: once(text), lastCall })))
}

/** Prompts of one batch that are shorter than others repeat their last vector (`reconstruct_multicond_batch`). */
function repeatLast(text: EncodedText, length: number): EncodedText {
  const width = text.hiddenStates.length / text.length
  const hiddenStates = new Float32Array(length * width)
  hiddenStates.set(text.hiddenStates)
  const last = text.hiddenStates.subarray(-width)
  for (let row = text.length; row < length; row++) hiddenStates.set(last, row * width)
  return { ...text, hiddenStates, length }
}

/** Appends the empty prompt's chunk (`pad_cond_uncond` of modules/sd_samplers_cfg_denoiser.py). */
function padWith(empty: EncodedText, text: EncodedText, length: number): EncodedText {
  const chunks = (length - text.length) / empty.length
  return joinTexts([text, ...Array.from({ length: chunks }, () => empty)])
}
