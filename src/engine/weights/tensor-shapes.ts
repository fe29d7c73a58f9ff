import { SwiftdError } from '../errors.js'
import type { SafetensorsFile } from './safetensors.js'

/** Access to the shapes of a file's tensors under a prefix. */
export interface Shapes {
  /** Which file it is, for messages. */
  readonly path: string
  /** The shape of a tensor that must be there. Throws SwiftdError INVALID_WEIGHTS where it is not. */
  of(name: string): readonly number[]
  has(name: string): boolean
  /** How many numbers n, from 0 on, have a tensor of that name. */
  count(name: (n: number) => string): number
}

/** The shapes under a prefix of an open file. */
export function shapesUnder({ path, tensors }: SafetensorsFile, prefix: string): Shapes {
  const has = (name: string): boolean => tensors.has(prefix + name)
  return {
    path,
    has,
    of(name) {
      const tensor = tensors.get(prefix + name)
      if (tensor) return tensor.shape
      throw new SwiftdError('INVALID_WEIGHTS', `${path} has no tensor "${prefix}${name}"; download it again.`)
    },
    count(name) {
      let n = 0
      while (has(name(n))) n++
      return n
    },
  }
}
