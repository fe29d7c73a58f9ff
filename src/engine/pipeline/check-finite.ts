import { isSwiftdError, SwiftdError } from '../errors.js'
import type { Checkpoint } from '../weights/checkpoint.js'
import { allFinite, refuseDamaged } from '../weights/find-nan.js'
import type { Stages } from './stages.js'

/** What a result is made of: one of the files that were computed with. */
export interface Ingredient {
  /** A .safetensors file. */
  readonly weightsPath: string
}

/** What may be to blame for a result. */
export interface Suspects {
  /** What it was computed with, the most likely cause first. */
  readonly ingredients: readonly Ingredient[]
  /** Whether it was computed in half precision. @default false */
  readonly halfPrecision?: boolean
}

/**
 * Refuses a result with values that are no finite numbers, which would become a black picture. The weights are read through
 * only then, to find the tensor that is to blame; a sound result costs one pass over it.
 * @param what the result as a sentence calls it, in the plural: `the latents`
 * @throws SwiftdError INVALID_WEIGHTS that names the tensor; NOT_FINITE if all weights are numbers
 */
export async function checkFinite(what: string, values: Float32Array, suspects: Suspects): Promise<void> {
  if (!allFinite(values)) await explainNotFinite(notFinite(what), () => suspects)
}

const OTHERWISE = 'try a lower guidance scale, a weaker LoRA or another scheduler'
/** float16 ends at 65504. */
const HALF_PRECISION =
  'all weights are, but half precision may not hold what is computed from them: have GPUs compute in float32 by ' +
  '"swiftd config set precision float32" and "swiftd daemon restart"'

/** That a result has values that are no numbers, before it is known why. */
export function notFinite(what: string): SwiftdError {
  return new SwiftdError('NOT_FINITE', `${what} came out with values that are no numbers (NaN).`)
}

/** What may be to blame for what an autoencoder computed; one that asks for float32 gets it on every device. */
export function autoencoderOf({ vae }: Checkpoint, { halfPrecision = false }: Pick<Stages, 'halfPrecision'>): Suspects {
  return { ingredients: [vae], halfPrecision: halfPrecision && !vae.config.force_upcast }
}

/**
 * Finds the cause of an error NOT_FINITE in the weights; throws any other error as it is.
 * @param suspectsOf is asked for NOT_FINITE only
 * @throws SwiftdError INVALID_WEIGHTS that names the tensor; NOT_FINITE with what may help if all weights are numbers;
 * CANCELLED when `signal` aborts
 */
export async function explainNotFinite(
  error: unknown,
  suspectsOf: () => Suspects,
  signal?: AbortSignal,
): Promise<never> {
  if (!isSwiftdError(error) || error.code !== 'NOT_FINITE') throw error
  const { ingredients, halfPrecision } = suspectsOf()
  await refuseDamaged(
    ingredients.map(({ weightsPath }) => weightsPath),
    signal,
  )
  const advice = halfPrecision ? `${HALF_PRECISION}, or ${OTHERWISE}` : `all weights are, so ${OTHERWISE}`
  throw new SwiftdError('NOT_FINITE', `${error.message.replace(/\.$/, '')}; ${advice}.`, { cause: error })
}
