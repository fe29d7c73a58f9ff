import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { SwiftdError } from '../errors.js'
import { isPickle, refusePickle } from './pickle.js'

/**
 * The weights file in a component's folder: of the variant if there is one, else the plain one, else that in float16.
 * @param name the file's name without its ending
 * @throws SwiftdError INVALID_WEIGHTS if there is none, UNSUPPORTED_MODEL if there are pickled ones only
 */
export function findWeights(directory: string, name: string, variant?: string): string {
  const candidates = [variant, undefined, 'fp16'].map((kind) => `${name}${kind ? `.${kind}` : ''}.safetensors`)
  const found = candidates.map((file) => join(directory, file)).find((file) => existsSync(file))
  if (found) return found
  const files = existsSync(directory) ? readdirSync(directory) : []
  const pickled = files.find(isPickle)
  if (pickled) refusePickle(join(directory, pickled))
  throw new SwiftdError('INVALID_WEIGHTS', `${directory} has no ${candidates[1]}; download the model again.`)
}
