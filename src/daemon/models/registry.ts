import { builtInModels } from './built-in.js'
import { findNamed, listNamed } from './find.js'
import { inspectModel } from './inspect.js'
import type { Kind, ModelEntry } from './kind.js'
import { shortModelName } from './names.js'
import type { ModelRecord } from './record.js'
import { releasePulled } from './remove.js'
import { openModelStore, type ModelStore } from './store.js'

/** Base models. */
export const MODELS: Kind<ModelEntry, ModelRecord> = {
  topic: 'model',
  noun: 'model',
  examplePath: './my-model or model.safetensors',
  builtIn: builtInModels,
  entryOf,
  entryAt: (path) => ({ name: path, path }),
  inspect: ({ path, options }) => inspectModel(path, options),
  openStore: openModelStore,
  deleteFiles: ({ pulled }, store) => pulled !== undefined && releasePulled(store, pulled),
}

/** All models that have a name: those that come with swiftd, then those that are registered. */
export function listModels(store: ModelStore = openModelStore()): readonly ModelEntry[] {
  return listNamed(MODELS, store)
}

/**
 * Finds a model by its name, by a beginning that no other name has, or by its path, which must be absolute.
 * @throws SwiftdError MODEL_NOT_FOUND with the nearest names; UNSUPPORTED_MODEL for pickled files
 */
export function findModel(nameOrPath: string, store: ModelStore = openModelStore()): ModelEntry {
  return findNamed(MODELS, nameOrPath, store)
}

/** What a record says about opening its model. */
function entryOf({ name, path, configuration, vae, variant }: ModelRecord): ModelEntry {
  return { name: shortModelName(name), path, options: { configuration, vae, variant } }
}
