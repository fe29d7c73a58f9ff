/**
 * What each number of a request may be. Flags and the HTTP side check against this one table and say the same sentence;
 * it imports nothing, because every command loads it.
 */
export interface NumberRange {
  readonly min: number
  readonly max: number
  /** Numbers with a fraction are allowed. */
  readonly fractional?: boolean
  readonly multipleOf?: number
}

export const LIMITS = {
  width: { min: 64, max: 4096, multipleOf: 8 },
  height: { min: 64, max: 4096, multipleOf: 8 },
  numInferenceSteps: { min: 1, max: 1000 },
  guidanceScale: { min: 0, max: 100, fractional: true },
  /** JSON numbers are exact up to 2^53 - 1; larger seeds cannot be given. */
  seed: { min: 0, max: Number.MAX_SAFE_INTEGER },
  /** How many of the text encoder's last layers to leave out. */
  clipSkip: { min: 0, max: 12 },
  numImages: { min: 1, max: 16 },
} as const satisfies Record<string, NumberRange>

/** A longer text cannot be a prompt; the tokenizer refuses what is left by its own limit in tokens. */
export const MAX_PROMPT_CHARACTERS = 20_000

/** What the range allows, as the end of a sentence that begins with "… must be". */
export function describeRange(range: NumberRange): string {
  const kind = range.fractional ? 'a number' : 'a whole number'
  const multiple = range.multipleOf ? ` and a multiple of ${range.multipleOf}` : ''
  return `${kind} from ${range.min} to ${range.max}${multiple}`
}

export function isInRange(value: number, range: NumberRange): boolean {
  if (!(value >= range.min && value <= range.max)) return false
  if (!range.fractional && !Number.isSafeInteger(value)) return false
  return range.multipleOf === undefined || value % range.multipleOf === 0
}
