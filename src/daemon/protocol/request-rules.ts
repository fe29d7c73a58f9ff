import { SwiftdError } from '../../engine/errors.js'
import { LIMITS, MAX_REQUEST_BYTES } from './limits.js'

/** The fields that only make sense together, or not together. */
interface Together {
  readonly image?: unknown
  readonly mask?: unknown
  readonly strength?: number
  readonly seed?: number
  readonly variationSeed?: number
  readonly numImages: number
  readonly loraBound?: number
  readonly loraAt?: number
  readonly latentParallel?: boolean | 'auto'
  readonly placement?: { readonly secondDevice?: string }
}

/**
 * Refuses combinations of fields that contradict each other, whatever the model.
 * @throws SwiftdError INVALID_REQUEST
 */
export function checkTogether(fields: Together): void {
  const { image, mask, strength, seed, variationSeed, numImages, loraBound, loraAt, latentParallel, placement } = fields
  const fail = (sentence: string): never => {
    throw new SwiftdError('INVALID_REQUEST', sentence)
  }
  if (image === undefined && mask !== undefined) fail('There is a mask but no image to repaint; give both.')
  if (image === undefined && strength !== undefined) {
    fail(`There is a strength of ${strength} but no image to start from; give both.`)
  }
  for (const [name, first = 0] of Object.entries({ seed, variationSeed })) {
    if (first <= LIMITS.seed.max - (numImages - 1)) continue
    fail(
      `The ${name} ${first} leaves no ${name}s for ${numImages} images up to ${LIMITS.seed.max}; give a smaller one.`,
    )
  }
  if (loraBound !== undefined && loraAt !== undefined) {
    fail(`loraAt (${loraAt}) fixes the step that loraBound (${loraBound}) leaves open; give one of them.`)
  }
  if (latentParallel === false && placement?.secondDevice !== undefined) {
    fail(`A second device (${placement.secondDevice}) is for latentParallel, which is switched off; give one of them.`)
  }
}

/** What to say of a request that is too large to be read. */
export function tooLarge(): SwiftdError {
  const limit = `${MAX_REQUEST_BYTES / 2 ** 20} MiB`
  const remedy = 'scale the pictures down or give them as JPEG or WebP'
  return new SwiftdError('INVALID_REQUEST', `The request has more than ${limit}, pictures included; ${remedy}.`)
}
