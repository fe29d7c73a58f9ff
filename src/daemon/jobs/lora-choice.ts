import { SwiftdError } from '../../engine/errors.js'
import { extractLoraTags, type LoraTag } from '../../engine/text/lora-tags.js'
import { stripComments } from '../../engine/text/prompt-parser.js'
import { findLora } from '../models/adapters.js'
import { MAX_LORAS } from '../protocol/limits.js'
import type { ResolvedLora } from '../protocol/lora-request.js'
import type { ParsedRequest, ResolvedRequest } from '../protocol/request.js'

export interface LoraChoice {
  readonly loras: readonly ResolvedLora[]
  readonly loraTags: boolean
  /** What a person should know. */
  readonly notes: readonly string[]
}

/**
 * The LoRAs of a request: those that it lists, then those that tags of its prompt name.
 * @throws SwiftdError MODEL_NOT_FOUND, INVALID_REQUEST
 */
export function chooseLoras(request: ParsedRequest): LoraChoice {
  const { promptSyntax, loraTags = promptSyntax === 'a1111' } = request
  const tags = readTags(request)
  const listed = (request.loras ?? []).map(({ name, scale, textEncoderScale = scale }) => {
    return { ...findLora(name), scale, textEncoderScale }
  })
  if (!loraTags) return { loras: listed, loraTags, notes: tags.slice(0, 1).map(noteOf) }
  const loras = [...listed, ...tags.map(fromTag)]
  if (loras.length > MAX_LORAS) {
    const sentence = `The request has ${loras.length} LoRAs, those of the prompt included; at most ${MAX_LORAS} are allowed.`
    throw new SwiftdError('INVALID_REQUEST', sentence)
  }
  return { loras, loraTags, notes: [] }
}

/** The prompt that the text encoders read: without the tags that were taken as LoRAs. */
export function promptText({ prompt, promptSyntax, loraTags }: ResolvedRequest): string {
  return loraTags ? extractLoraTags(withoutComments(prompt, promptSyntax)).prompt : prompt
}

function readTags({ prompt, promptSyntax }: ParsedRequest): readonly LoraTag[] {
  return extractLoraTags(withoutComments(prompt, promptSyntax)).loras
}

/** A tag in a comment is no tag. */
function withoutComments(prompt: string, syntax: ParsedRequest['promptSyntax']): string {
  return syntax === 'a1111' ? stripComments(prompt) : prompt
}

function fromTag({ name, textEncoderScale, unetScale, rank, tag }: LoraTag): ResolvedLora {
  if (rank !== undefined) {
    const sentence = `“${tag}” wants ${rank} ranks of the LoRA only (dyn), which swiftd does not do; leave that out.`
    throw new SwiftdError('INVALID_REQUEST', sentence)
  }
  return { ...findLora(name), scale: unetScale, textEncoderScale, inPrompt: true }
}

function noteOf({ tag }: LoraTag): string {
  return `“${tag}” is read as text, as diffusers does; set loraTags, or the prompt syntax a1111, to use it as a LoRA.`
}
