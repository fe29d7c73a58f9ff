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
  /** `min` itself is not allowed. */
  readonly above?: boolean
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
  variationSeed: { min: 0, max: Number.MAX_SAFE_INTEGER },
  variationStrength: { min: 0, max: 1, fractional: true },
  eta: { min: 0, max: 1, fractional: true },
  guidanceRescale: { min: 0, max: 1, fractional: true },
  /** The share of the steps that run, so 0 would do nothing. */
  strength: { min: 0, max: 1, fractional: true, above: true },
  /** Negative scales turn a LoRA's direction round. */
  loraScale: { min: -10, max: 10, fractional: true },
  loraAt: { min: 0, max: 1000 },
  controlScale: { min: 0, max: 10, fractional: true },
  /** A share of the steps. */
  controlTime: { min: 0, max: 1, fractional: true },
  /** Of Canny's algorithm: the change of brightness at which an edge ends or begins. */
  cannyThreshold: { min: 0, max: 1000, fractional: true },
  residualWeight: { min: -10, max: 10, fractional: true },
} as const satisfies Record<string, NumberRange>

/** A longer text cannot be a prompt; the tokenizer refuses what is left by its own limit in tokens. */
export const MAX_PROMPT_CHARACTERS = 20_000

/** How many LoRAs and ControlNets one request may have. */
export const MAX_LORAS = 32
export const MAX_CONTROLS = 8

/** The most bytes of a request: pictures in base64 are nearly all of them. */
export const MAX_REQUEST_BYTES = 64 * 2 ** 20

/** What `loraBound` may be: none, a share of the steps, or steps. */
export const LORA_BOUND = '0, a share of the steps below 1, or a whole number of steps up to 1000'

export function isLoraBound(value: number): boolean {
  return (value >= 0 && value < 1) || isInRange(value, LIMITS.loraAt)
}

/** What the range allows, as the end of a sentence that begins with "… must be". */
export function describeRange(range: NumberRange): string {
  const kind = range.fractional ? 'a number' : 'a whole number'
  const multiple = range.multipleOf ? ` and a multiple of ${range.multipleOf}` : ''
  const from = range.above ? `above ${range.min} and up to` : `from ${range.min} to`
  return `${kind} ${from} ${range.max}${multiple}`
}

export function isInRange(value: number, range: NumberRange): boolean {
  if (!(value >= range.min && value <= range.max) || (range.above && value === range.min)) return false
  if (!range.fractional && !Number.isSafeInteger(value)) return false
  return range.multipleOf === undefined || value % range.multipleOf === 0
}
