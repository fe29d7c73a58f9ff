import { SwiftdError } from '../errors.js'

const PICKLED = /\.(ckpt|pt|pth|bin)$/i

/** Whether a file's name says that it is pickled. */
export function isPickle(path: string): boolean {
  return PICKLED.test(path)
}

/**
 * Refuses pickled files, which are programs: reading one runs it. There is no flag to allow them.
 * @param what what the file should hold, such as `model`
 * @throws SwiftdError UNSUPPORTED_MODEL
 */
export function refusePickle(path: string, what = 'model'): void {
  if (!isPickle(path)) return
  const reason = 'it is a pickled file, which can run any code when it is read'
  throw new SwiftdError(
    'UNSUPPORTED_MODEL',
    `${path} is refused: ${reason}; get the .safetensors version of the ${what}.`,
  )
}
