import { SwiftdError } from '../errors.js'
import { allFinite, findNonFinite } from '../weights/find-nan.js'

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
 * @throws SwiftdError INVALID_WEIGHTS that names the tensor; RUNTIME_ERROR if all weights are numbers
 */
export async function checkFinite(
  what: string,
  values: Float32Array,
  ingredients: readonly Ingredient[],
): Promise<void> {
  if (allFinite(values)) return
  for (const path of new Set(ingredients.map(({ weightsPath }) => weightsPath))) {
    const tensor = await findNonFinite(path)
    if (tensor === undefined) continue
    const sentence = `${path} has values that are no numbers (NaN) in "${tensor}"; it is damaged, download it again.`
    throw new SwiftdError('INVALID_WEIGHTS', sentence)
  }
  const advice = 'try a lower guidance scale, a weaker LoRA or another scheduler'
  throw new SwiftdError('RUNTIME_ERROR', `${what} came out with values that are no numbers (NaN); ${advice}.`)
}
