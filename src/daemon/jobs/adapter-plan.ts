import { basename } from 'node:path'
import type { AdapterRequest } from '../../engine/pipeline/request.js'
import { readLoraHeader, type LoraHeader } from '../../engine/weights/lora-header.js'
import type { ResolvedRequest } from '../protocol/request.js'
import type { Parameters } from '../workers/messages.js'

/** The LoRAs of a job, and when they take effect. */
export interface AdapterPlan {
  readonly uses: Parameters<'prepareAdapters'>['adapters']
  /** Whether prompts cannot be encoded without them. */
  readonly inText: boolean
  /** Fields of the engine's request. */
  readonly when: Pick<AdapterRequest, 'fromStep' | 'boundStep'>
  /** Whether the run decides at which step they take effect, so that it must be recorded. */
  readonly isOpen: boolean
  /** What a person should know. */
  readonly notes: readonly string[]
}

/** In runs of so few steps each one shapes the whole picture. */
const FEW_STEPS = 8

/**
 * Reads a request's LoRAs. A bound lets the first steps run without them, while they load (SwiftDiffusion's bounded
 * asynchronous loading); runs of few steps, and LoRAs that make models fast, never start without them.
 * @throws SwiftdError MODEL_NOT_FOUND, INVALID_WEIGHTS, UNSUPPORTED_MODEL as `readLoraHeader`
 */
export function planAdapters({
  loras,
  loraBound = 0,
  loraAt,
  loraPartial,
  numInferenceSteps: steps,
}: ResolvedRequest): AdapterPlan {
  const uses = loras.map(({ path, scale, textEncoderScale }) => {
    return { path, scale, textEncoderScale, ...(loraPartial && { partial: true }) }
  })
  const headers = loras.map(({ path }) => readLoraHeader(path))
  const inText = headers.some((header, index) => touchesText(header, loras[index].textEncoderScale))
  const none = { uses, inText, isOpen: false, notes: [] }
  if (loras.length === 0) return { ...none, when: {} }
  if (loraAt !== undefined) return { ...none, when: { fromStep: loraAt } }
  const bound = loraBound < 1 ? Math.floor(loraBound * steps) : Math.min(loraBound, steps)
  if (bound === 0) return { ...none, when: { boundStep: 0 } }
  const reason = whyNotLate(headers, steps)
  if (reason === undefined) return { ...none, when: { boundStep: bound }, isOpen: true }
  return { ...none, when: { boundStep: 0 }, notes: [`The LoRAs are in effect from the first step: ${reason}.`] }
}

function whyNotLate(loras: readonly LoraHeader[], steps: number): string | undefined {
  if (steps <= FEW_STEPS) return `in a run of ${steps} steps none is without consequence`
  const fast = loras.find(({ distillation }) => distillation)
  return fast && `${basename(fast.path)} makes models draw in few steps, which changes every one of them`
}

/** Whether a LoRA changes what the prompt's encoding is. */
function touchesText({ layers }: LoraHeader, scale: number): boolean {
  return scale !== 0 && (layers.text_encoder ?? layers.text_encoder_2) !== undefined
}

/** The step of a model call; schedulers of higher order call the model more than once in a step. */
export function stepOfCall(call: number | undefined, order: number): number | undefined {
  return call === undefined ? undefined : Math.floor(call / order)
}
