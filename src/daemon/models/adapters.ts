import { existsSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SwiftdError } from '../../engine/errors.js'
import { nearest } from '../../engine/sampling/schedulers/nearest.js'
import { isModelPath } from './names.js'

/** A LoRA or a ControlNet that can be asked for. */
export interface AdapterEntry {
  /** For one that was asked for by its path, the path. */
  readonly name: string
  /** Absolute path of a file or folder. */
  readonly path: string
}

/** What comes with swiftd. The folder is the same three levels up from src/ and from dist/. */
const builtIn = (name: string, path: string): AdapterEntry => ({
  name,
  path: fileURLToPath(new URL(`../../../fixtures/models/${path}`, import.meta.url)),
})
const LORAS = ['neon', 'stripes'].map((name) => builtIn(name, `loras/${name}.safetensors`))
const CONTROLNETS = ['canny', 'depth'].map((name) => builtIn(name, `controlnets/${name}`))

/**
 * Finds a LoRA by its name or its absolute path.
 * @throws SwiftdError MODEL_NOT_FOUND with the nearest names
 */
export function findLora(nameOrPath: string): AdapterEntry {
  return find('LoRA', nameOrPath, LORAS)
}

/**
 * Finds a ControlNet by its name or its absolute path.
 * @throws SwiftdError MODEL_NOT_FOUND with the nearest names
 */
export function findControlNet(nameOrPath: string): AdapterEntry {
  return find('ControlNet', nameOrPath, CONTROLNETS)
}

function find(what: string, nameOrPath: string, known: readonly AdapterEntry[]): AdapterEntry {
  if (isModelPath(nameOrPath)) {
    if (isAbsolute(nameOrPath) && existsSync(nameOrPath)) return { name: nameOrPath, path: nameOrPath }
    const advice = isAbsolute(nameOrPath) ? 'check the path' : 'the daemon takes absolute paths only'
    throw new SwiftdError('MODEL_NOT_FOUND', `There is no ${what} at ${nameOrPath}; ${advice}.`)
  }
  const found = known.find(({ name }) => name === nameOrPath)
  if (found) return found
  const names = nearest(
    nameOrPath,
    known.map(({ name }) => name),
    3,
  ).join(', ')
  throw new SwiftdError('MODEL_NOT_FOUND', `There is no ${what} "${nameOrPath}"; the nearest are ${names}.`)
}
