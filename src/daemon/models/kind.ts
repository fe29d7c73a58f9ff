import type { CheckpointOptions } from '../../engine/weights/checkpoint.js'
import type { ComponentFile } from './digest.js'
import type { ModelFamily, NamedRecord } from './record.js'
import type { Store } from './store.js'

/** Something that can be asked for by a name. */
export interface NamedEntry {
  /** Its short name; for what was asked for by its path, the path. */
  readonly name: string
  /** A diffusers folder or a .safetensors file. */
  readonly path: string
}

/** A model that can be asked for. */
export interface ModelEntry extends NamedEntry {
  /** How it is opened, where it was registered with settings. */
  readonly options?: CheckpointOptions
  /** What the model's card recommends, where it differs from its family's defaults. */
  readonly defaults?: { readonly numInferenceSteps?: number; readonly guidanceScale?: number }
}

/** What the files of an entry say, as far as all kinds have it in common. */
export interface Description {
  /** The real path. */
  readonly path: string
  readonly kind: 'folder' | 'file'
  /** The models that it is, or that it is for, as far as that is known. */
  readonly family?: ModelFamily
  readonly parameters: number
  readonly bytes: number
  /** Dtypes of the weights, the most common first, joined by a comma. */
  readonly dtype: string
  readonly components: readonly ComponentFile[]
}

/** What has names: models, LoRAs, ControlNets. Everything that is done with names is written once, for all of them. */
export interface Kind<Entry extends NamedEntry = NamedEntry, Item extends NamedRecord = NamedRecord> {
  /** Its commands are `swiftd TOPIC add` and so on. */
  readonly topic: 'model' | 'lora' | 'controlnet'
  /** What sentences call one. */
  readonly noun: 'model' | 'LoRA' | 'ControlNet'
  /** How a path of one may look, for sentences. */
  readonly examplePath: string
  /** Those that come with swiftd. They cannot be removed. */
  readonly builtIn: () => readonly Entry[]
  readonly entryOf: (record: Item) => Entry
  /** What is asked for by its absolute path, without having a name. */
  readonly entryAt: (path: string) => Entry
  /** Opens one without reading its weights; throws a SwiftdError if it is not one. */
  readonly inspect: (entry: Entry) => Description
  readonly openStore: (directory?: string) => Store<Item>
  /** Deletes the files of a removed record that only it needed; says whether there were any. */
  readonly deleteFiles?: (record: Item, store: Store<Item>) => boolean
}
