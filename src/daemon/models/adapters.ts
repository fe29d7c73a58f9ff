import { builtInControlNets, builtInLoras } from './built-in.js'
import { findNamed, listNamed } from './find.js'
import { inspectControlNetFile, inspectLora } from './inspect-adapter.js'
import type { Kind, NamedEntry } from './kind.js'
import { shortModelName } from './names.js'
import { AdapterRecordSchema, type AdapterRecord } from './record.js'
import { dataDirectory, openStore, type Store } from './store.js'

const entryOf = ({ name, path }: AdapterRecord): NamedEntry => ({ name: shortModelName(name), path })

const entryAt = (path: string): NamedEntry => ({ name: path, path })

/** A kind whose records are adapters'. */
export type AdapterKind = Kind<NamedEntry, AdapterRecord>

/** LoRAs. */
export const LORAS: AdapterKind = {
  topic: 'lora',
  noun: 'LoRA',
  examplePath: './my-lora.safetensors',
  builtIn: builtInLoras,
  entryOf,
  entryAt,
  inspect: ({ path }) => inspectLora(path),
  openStore: (directory = dataDirectory('loras')) => openStore(directory, AdapterRecordSchema),
}

/** ControlNets. */
export const CONTROLNETS: AdapterKind = {
  topic: 'controlnet',
  noun: 'ControlNet',
  examplePath: './my-controlnet or controlnet.safetensors',
  builtIn: builtInControlNets,
  entryOf,
  entryAt,
  inspect: ({ path }) => inspectControlNetFile(path),
  openStore: (directory = dataDirectory('controlnets')) => openStore(directory, AdapterRecordSchema),
}

/** All LoRAs that have a name. */
export function listLoras(store: Store<AdapterRecord> = LORAS.openStore()): readonly NamedEntry[] {
  return listNamed(LORAS, store)
}

/** All ControlNets that have a name. */
export function listControlNets(store: Store<AdapterRecord> = CONTROLNETS.openStore()): readonly NamedEntry[] {
  return listNamed(CONTROLNETS, store)
}

/**
 * Finds a LoRA by its name, by a beginning that no other LoRA has, or by its path, which must be absolute.
 * @returns its short name, or its path where it was asked for by that; and its path
 * @throws SwiftdError MODEL_NOT_FOUND with the nearest names; UNSUPPORTED_MODEL for pickled files
 */
export function findLora(nameOrPath: string, store: Store<AdapterRecord> = LORAS.openStore()): NamedEntry {
  return findNamed(LORAS, nameOrPath, store)
}

/** Finds a ControlNet, as `findLora` finds a LoRA. */
export function findControlNet(nameOrPath: string, store: Store<AdapterRecord> = CONTROLNETS.openStore()): NamedEntry {
  return findNamed(CONTROLNETS, nameOrPath, store)
}
