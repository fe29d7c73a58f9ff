import { existsSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { SwiftdError } from '../../engine/errors.js'
import { nearest } from '../../engine/sampling/schedulers/nearest.js'
import type { CheckpointOptions } from '../../engine/weights/checkpoint.js'
import { builtInModels } from './built-in.js'
import { fullModelName, isModelPath, matchModelName, shortModelName } from './names.js'
import type { ModelRecord } from './record.js'
import { openModelStore, type ModelStore } from './store.js'

/** A model that can be asked for. */
export interface ModelEntry {
  /** Its short name; for a model that was asked for by its path, the path. */
  readonly name: string
  /** A diffusers folder or a .safetensors file. */
  readonly path: string
  /** How it is opened, where it was registered with settings. */
  readonly options?: CheckpointOptions
  /** What the model's card recommends, where it differs from its family's defaults. */
  readonly defaults?: { readonly numInferenceSteps?: number; readonly guidanceScale?: number }
}

/** All models that have a name: those that come with swiftd, then those that are registered. */
export function listModels(store: ModelStore = openModelStore()): readonly ModelEntry[] {
  return [...builtInModels(), ...store.read().records.map(entryOf)]
}

/**
 * Finds a model by its name, by a beginning that no other name has, or by its path, which must be absolute.
 * @throws SwiftdError MODEL_NOT_FOUND with the nearest names
 */
export function findModel(nameOrPath: string, store: ModelStore = openModelStore()): ModelEntry {
  if (isModelPath(nameOrPath)) return findByPath(nameOrPath)
  const models = listModels(store)
  const fullNames = models.map(({ name }) => fullModelName(name))
  const matches = matchModelName(nameOrPath, fullNames)
  if (matches.length === 1) return models[fullNames.indexOf(matches[0])]
  if (matches.length > 1) {
    const names = matches.map(shortModelName).join(', ')
    throw new SwiftdError('MODEL_NOT_FOUND', `"${nameOrPath}" may be any of ${names}; give more of the name.`)
  }
  throw unknownModel(nameOrPath, store, fullNames)
}

function findByPath(path: string): ModelEntry {
  if (isAbsolute(path) && existsSync(path)) return { name: path, path }
  const advice = isAbsolute(path) ? 'check the path' : 'the daemon takes absolute paths only'
  throw new SwiftdError('MODEL_NOT_FOUND', `There is no model at ${path}; ${advice}.`)
}

/** What a record says about opening its model. */
export function entryOf({ name, path, configuration, vae, variant }: ModelRecord): ModelEntry {
  return { name: shortModelName(name), path, options: { configuration, vae, variant } }
}

function unknownModel(name: string, store: ModelStore, fullNames: readonly string[]): SwiftdError {
  const { damaged } = store.read()
  const [broken] = matchModelName(
    name,
    damaged.map((record) => record.name),
  )
  if (broken !== undefined) {
    const remedy = `"swiftd model rm ${shortModelName(broken)}", then add it again`
    return new SwiftdError(
      'MODEL_NOT_FOUND',
      `The record of the model "${shortModelName(broken)}" is damaged; ${remedy}.`,
    )
  }
  const names = nearest(name, fullNames.map(shortModelName), 3).join(', ')
  const advice = `give one of the names ${names}, or a path, such as ./my-model or model.safetensors`
  return new SwiftdError('MODEL_NOT_FOUND', `There is no model "${name}"; ${advice}.`)
}
