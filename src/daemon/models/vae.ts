import { existsSync, statSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { SwiftdError } from '../../engine/errors.js'
import { isModelPath } from './names.js'
import { findModel } from './registry.js'

/**
 * The path of an autoencoder: of a file, a folder, or a whole model's. A model by its name gives its own.
 * @throws SwiftdError MODEL_NOT_FOUND
 */
export function vaePath(nameOrPath: string): string {
  if (!isModelPath(nameOrPath)) {
    const { path, options } = findModel(nameOrPath)
    return options?.vae ?? withinModel(path)
  }
  if (isAbsolute(nameOrPath) && existsSync(nameOrPath)) return withinModel(nameOrPath)
  const advice = isAbsolute(nameOrPath) ? 'check the path' : 'the daemon takes absolute paths only'
  throw new SwiftdError('MODEL_NOT_FOUND', `There is no autoencoder (VAE) at ${nameOrPath}; ${advice}.`)
}

/** Single files hold a checkpoint's parts together; folders have one for each. */
function withinModel(path: string): string {
  const part = join(path, 'vae')
  return statSync(path).isDirectory() && existsSync(part) ? part : path
}
