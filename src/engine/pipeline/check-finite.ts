import { isSwiftdError, SwiftdError } from '../errors.js'
import { allFinite, refuseDamaged } from '../weights/find-nan.js'

/** What a result is made of: one of the files that were computed with. */
export interface Ingredient {
  /** A .safetensors file. */
  readonly weightsPath: string
}

/**
 * Refuses a result with values that are no finite numbers, which would become a black picture. The weights are read through
 * only then, to find the tensor that is to blame; a sound result costs one pass over it.
 * @param what the result as a sentence calls it, in the plural: `the latents`
 * @param ingredients what it was computed with, the most likely cause first
 * @throws SwiftdError INVALID_WEIGHTS that names the tensor; NOT_FINITE if all weights are numbers
 */
export async function checkFinite(
  what: string,
  values: Float32Array,
  ingredients: readonly Ingredient[],
): Promise<void> {
  if (!allFinite(values)) await explainNotFinite(notFinite(what), ingredients)
}

/** That a result has values that are no numbers, before it is known why. */
export function notFinite(what: string): SwiftdError {
  return new SwiftdError('NOT_FINITE', `${what} came out with values that are no numbers (NaN).`)
}

/**
 * Finds the cause of an error NOT_FINITE in the weights; throws any other error as it is.
 * @param ingredients as for `checkFinite`
 * @throws SwiftdError INVALID_WEIGHTS that names the tensor; NOT_FINITE with what may help if all weights are numbers;
 * CANCELLED when `signal` aborts
 */
export async function explainNotFinite(
  error: unknown,
  ingredients: readonly Ingredient[],
  signal?: AbortSignal,
): Promise<never> {
  if (!isSwiftdError(error) || error.code !== 'NOT_FINITE') throw error
  await refuseDamaged(
    ingredients.map(({ weightsPath }) => weightsPath),
    signal,
  )
  const advice = 'all weights are, so try a lower guidance scale, a weaker LoRA or another scheduler'
  throw new SwiftdError('NOT_FINITE', `${error.message.replace(/\.$/, '')}; ${advice}.`, { cause: error })
}
