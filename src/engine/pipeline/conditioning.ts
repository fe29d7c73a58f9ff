import type { DenoisePlan } from './denoise.js'
import { encodeDiffusersPrompts } from './diffusers-prompts.js'
import type { BatchTexts, ConditioningInputs, EncodedText, TextSchedule } from './encoded-text.js'
import type { GenerateRequest, SizeConditioning } from './request.js'
import type { Conditioning, Stages, Tensor } from './stages.js'
import { encodeWebuiPrompts } from './webui-prompts.js'

/** The conditioning of a job, which may change from one model call to the next. */
export interface EncodedConditioning {
  /** Rows of the batch: the images, twice with guidance, [negative, positive]. */
  readonly batch: number
  /** The part of a plan for a run that begins with model call `index` of the schedule. */
  from(index: number): Pick<DenoisePlan, 'conditionings' | 'conditioningAt'>
  release(): void
}

/** Encodes all prompts of a request, each distinct text once, into the UNet's conditioning. */
export async function encodeConditioning(inputs: ConditioningInputs): Promise<EncodedConditioning> {
  const { stages, request, checkpoint, calls } = inputs
  const encode = request.promptSyntax === 'a1111' ? encodeWebuiPrompts : encodeDiffusersPrompts
  const texts = await encode(inputs)
  const rows = [...texts.negative, ...texts.positive]

  const timeIds = checkpoint.family === 'sdxl' ? sizeRows(stages, request, texts) : undefined
  const { combinations, byCall } = combine(rows, calls)
  const conditionings = combinations.map((each) => ({ ...stackTexts(stages, each), ...(timeIds && { timeIds }) }))
  return {
    batch: rows.length,
    from(index) {
      if (conditionings.length === 1) return { conditionings }
      return { conditionings, conditioningAt: [...new Array<number>(index).fill(0), ...byCall].slice(0, calls) }
    },
    release() {
      for (const { encoderHiddenStates, textEmbeds } of conditionings) {
        encoderHiddenStates.release()
        textEmbeds?.release()
      }
      timeIds?.release()
    },
  }
}

/** A conditioning that is `before` up to call `from` of the job, and `after` from then on. Owns both. */
export function switchConditioning(
  before: EncodedConditioning,
  after: EncodedConditioning,
  from: number,
  calls: number,
): EncodedConditioning {
  return {
    batch: before.batch,
    from(index) {
      const [early, late] = [before.from(index), after.from(index)]
      const at = (part: typeof early, call: number): number => part.conditioningAt?.[call] ?? 0
      return {
        conditionings: [...early.conditionings, ...late.conditionings],
        conditioningAt: Array.from({ length: calls }, (_, call) =>
          call - index < from ? at(early, call) : early.conditionings.length + at(late, call),
        ),
      }
    },
    release() {
      before.release()
      after.release()
    },
  }
}

/** The distinct combinations of what the rows read, and the one of each model call. */
function combine(rows: readonly TextSchedule[], calls: number): { combinations: EncodedText[][]; byCall: number[] } {
  const numbers = new Map<EncodedText, number>()
  const numberOf = (text: EncodedText): number => {
    const number = numbers.get(text) ?? numbers.size
    numbers.set(text, number)
    return number
  }
  const combinations: EncodedText[][] = []
  const known = new Map<string, number>()
  const byCall = Array.from({ length: calls }, (_, call) => {
    const texts = rows.map((row) => textAt(row, call))
    const key = texts.map(numberOf).join()
    const combination = known.get(key) ?? combinations.push(texts) - 1
    known.set(key, combination)
    return combination
  })
  return { combinations, byCall }
}

function textAt(schedule: TextSchedule, call: number): EncodedText {
  const { text } = schedule.find(({ lastCall }) => call <= lastCall) ?? schedule[schedule.length - 1]
  return text
}

/** Copies texts of one length into a batch. */
function stackTexts(stages: Stages, texts: readonly EncodedText[]): Conditioning {
  const [{ hiddenStates, length, pooled }] = texts
  const encoderHiddenStates = stages.allocate([texts.length, length, hiddenStates.length / length])
  texts.forEach((text, row) => encoderHiddenStates.data.set(text.hiddenStates, row * hiddenStates.length))
  if (!pooled) return { encoderHiddenStates }
  const textEmbeds = stages.allocate([texts.length, pooled.length])
  texts.forEach((text, row) => text.pooled && textEmbeds.data.set(text.pooled, row * pooled.length))
  return { encoderHiddenStates, textEmbeds }
}

/** SDXL's size ids of every row: original size, crop, target size. */
function sizeRows(stages: Stages, request: GenerateRequest, { negative, positive }: BatchTexts): Tensor {
  const ids = ({ originalSize, cropsCoordsTopLeft, targetSize }: SizeConditioning): number[] => {
    const own = [request.height, request.width]
    return [...(originalSize ?? own), ...(cropsCoordsTopLeft ?? [0, 0]), ...(targetSize ?? own)]
  }
  const positiveIds = ids(request.sizes ?? {})
  const negativeIds = request.negativeSizes ? ids(request.negativeSizes) : positiveIds
  const timeIds = stages.allocate([negative.length + positive.length, 6])
  const rows = [...negative.map(() => negativeIds), ...positive.map(() => positiveIds)]
  rows.forEach((row, index) => timeIds.data.set(row, index * 6))
  return timeIds
}
