import { openAdapter, type Adapter } from '../weights/adapter.js'
import { identifyFile } from '../weights/file-hash.js'
import { readAhead } from '../weights/read-ahead.js'
import {
  matchAdapters,
  refusePartialMatch,
  textEncoderOverlays,
  unetOverlay,
  type AdapterSet,
  type AdapterUse,
  type MatchedAdapters,
} from './adapter-set.js'
import type { BaseModel } from './base-model.js'
import { EVICTION_RANKS, type DeviceMemory } from './device-memory.js'
import type { GraphCache } from './graph-cache.js'
import type { Overlay } from './overlay.js'
import { overlayBytes, type OverlayBytes } from './overlay-bytes.js'
import { adapterWork } from './patch-work.js'
import { createResidency, type Lease, type Resident, type ResidentEntry } from './residency.js'
import { withMemory } from './with-memory.js'
import type { Workspaces } from './workspaces.js'

/** A LoRA as a job names it. Plain data: it crosses process borders. */
export interface AdapterDescription {
  /** The .safetensors file. */
  readonly path: string
  readonly scale: number
  /** For the text encoders. @default scale */
  readonly textEncoderScale?: number
  /** Apply it even though some of its layers name nothing in the model. @default false */
  readonly partial?: boolean
}

/** The overlays of a set of LoRAs on one model. The text encoders' are there; the UNet's comes when somebody wants it. */
export interface CachedAdapters extends Resident {
  /** Path of the model. */
  readonly model: string
  readonly descriptions: readonly AdapterDescription[]
  /** Layers that name nothing in the model, by file. */
  readonly unmatched: ReadonlyMap<string, readonly string[]>
  /** The text encoders' overlays alone: what encoding a prompt needs. */
  readonly textEncoders: Pick<AdapterSet, 'textEncoders'>
  /** All overlays; undefined until the UNet's is computed. */
  readonly complete: AdapterSet | undefined
  /** Begins to compute the UNet's overlay, beside whatever the device computes, if that has not begun. */
  begin(): void
  /** Settles when the UNet's overlay is computed. */
  whole(): Promise<AdapterSet>
  /** Time inside the runtime for the overlays so far, in milliseconds. */
  readonly runtimeMs: number
}

/** Overlays by model, LoRAs and weights, so that jobs with different LoRAs alternate without patching again. */
export interface AdapterCache {
  /**
   * Opens the files, matches them with the model and computes the text encoders' overlays.
   * The caller keeps the model meanwhile.
   * @throws SwiftdError INVALID_WEIGHTS, UNSUPPORTED_MODEL, OUT_OF_MEMORY
   */
  acquire(model: BaseModel, descriptions: readonly AdapterDescription[]): Promise<Lease<CachedAdapters>>
  /** Releases what is over the budget. */
  trim(): Promise<void>
  /** Releases all overlays of a model. */
  forget(model: BaseModel): Promise<void>
  /** Releases everything. */
  release(): Promise<void>
  entries(): readonly ResidentEntry<CachedAdapters>[]
}

export interface AdapterCacheOptions {
  readonly graphs: GraphCache
  readonly memory: DeviceMemory
  readonly workspaces: Workspaces
  /** What stays when nobody uses it, in bytes. */
  readonly budgetBytes: number
  /** Keeps a model until the returned function is called: while an overlay is computed from it. */
  readonly holdModel: (model: BaseModel) => () => void
  /** Told what goes, and what needs its memory; undefined where it was over the budget. */
  readonly onEvicted?: (adapters: CachedAdapters, neededFor: string | undefined) => void
}

export function createAdapterCache(options: AdapterCacheOptions): AdapterCache {
  const { memory, budgetBytes, holdModel, onEvicted } = options
  const residency = createResidency<CachedAdapters>({
    budgetBytes,
    memory: { account: memory, rank: EVICTION_RANKS.addOn },
    ...(onEvicted && { onEvicted }),
  })
  const numbers = new WeakMap<BaseModel, number>()
  let models = 0
  const prefixOf = (model: BaseModel): string => {
    const number = numbers.get(model) ?? ++models
    numbers.set(model, number)
    return `${number} `
  }
  return {
    async acquire(model, descriptions) {
      const parts = descriptions.map(({ path, scale, textEncoderScale = scale, partial = false }) => {
        return [path, identifyFile(path), scale, textEncoderScale, partial]
      })
      const key = prefixOf(model) + JSON.stringify(parts)
      const hold = (): (() => void) => {
        const ends = [residency.hold(key), holdModel(model)]
        return () => ends.forEach((end) => end())
      }
      // One that could not be made, for lack of memory perhaps, is not to stand in the way of the next attempt.
      const onSettled = (failed: boolean): void => (failed ? residency.discard(key) : void residency.trim())
      return residency.acquire(key, () => prepare(options, model, descriptions, { hold, onSettled }))
    },
    trim: () => residency.trim(),
    async forget(model) {
      const prefix = prefixOf(model)
      await residency.drop((key) => key.startsWith(prefix))
    },
    release: () => residency.close(),
    entries: () => residency.entries,
  }
}

/** What the making of an overlay tells the cache. */
interface Making {
  /** Keeps the model and the entry, until the returned function is called. */
  readonly hold: () => () => void
  /** The UNet's overlay is there, or could not be made. */
  readonly onSettled: (failed: boolean) => void
}

async function prepare(
  options: AdapterCacheOptions,
  model: BaseModel,
  descriptions: readonly AdapterDescription[],
  making: Making,
): Promise<CachedAdapters> {
  const { graphs, memory } = options
  const adapters: Adapter[] = []
  const closeFiles = (): void => adapters.splice(0).forEach((adapter) => adapter.release())
  try {
    const uses: AdapterUse[] = []
    for (const { path, scale, textEncoderScale } of descriptions) {
      await readAhead(path)
      const adapter = openAdapter(path)
      adapters.push(adapter)
      uses.push({ adapter, scale, ...(textEncoderScale !== undefined && { textEncoderScale }) })
    }
    const matched = matchAdapters(model.networks, uses)
    refuseUnlessPartial(matched, uses, descriptions)
    const unmatched = new Map([...matched.unmatched].map(([{ path }, names]) => [path, names]))
    const bytes = overlayBytes(model.networks, matched)
    const work = adapterWork(model.networks, matched)
    const name = `The overlay of ${descriptions.map(({ path }) => path).join(' and ')}`
    const taking = <T>(part: keyof OverlayBytes, compute: () => Promise<T>) => {
      return withMemory(options, { name, byteLength: bytes[part] }, work[part], compute)
    }
    const textEncoders = await taking('textEncoders', () => textEncoderOverlays(graphs, model.networks, matched))
    const computeUnet = () => taking('unet', () => unetOverlay(graphs, model.networks, matched))
    const onReleased = (unetToo: boolean): void => memory.give(bytes.textEncoders + (unetToo ? bytes.unet : 0))
    return cached({ model, descriptions, unmatched, textEncoders, computeUnet, closeFiles, onReleased, making })
  } catch (error) {
    closeFiles()
    throw error
  }
}

interface CachedParts {
  readonly model: BaseModel
  readonly descriptions: readonly AdapterDescription[]
  readonly unmatched: CachedAdapters['unmatched']
  readonly textEncoders: readonly (Overlay | undefined)[]
  readonly computeUnet: () => Promise<Overlay | undefined>
  /** Of the LoRAs, which the UNet's overlay is computed from. */
  readonly closeFiles: () => void
  /** The overlays are gone, with that of the UNet if it was made. */
  readonly onReleased: (unetToo: boolean) => void
  readonly making: Making
}

function cached(parts: CachedParts): CachedAdapters {
  const { model, descriptions, unmatched, textEncoders, computeUnet, closeFiles, onReleased, making } = parts
  let complete: AdapterSet | undefined
  let computing: Promise<AdapterSet> | undefined
  const compute = async (): Promise<AdapterSet> => {
    const letGo = making.hold()
    try {
      const overlay = await computeUnet()
      complete = { ...(overlay && { unet: overlay }), textEncoders }
      return complete
    } finally {
      closeFiles()
      letGo()
      making.onSettled(complete === undefined)
    }
  }
  const whole = (): Promise<AdapterSet> => {
    computing ??= compute()
    return computing
  }
  const overlays = (): Overlay[] =>
    [...textEncoders, complete?.unet].filter((overlay): overlay is Overlay => overlay !== undefined)
  const sum = (value: (overlay: Overlay) => number): number =>
    overlays().reduce((total, each) => total + value(each), 0)
  return {
    model: model.checkpoint.path,
    descriptions,
    unmatched,
    textEncoders: { textEncoders },
    whole,
    begin() {
      // Whoever waits for it hears of a failure.
      whole().catch(() => undefined)
    },
    get complete() {
      return complete
    },
    get byteLength() {
      return sum(({ byteLength }) => byteLength)
    },
    get runtimeMs() {
      return sum(({ runtimeMs }) => runtimeMs)
    },
    async release() {
      await computing?.catch(() => undefined)
      closeFiles()
      await model.leaveAdapters(overlays())
      overlays().forEach((overlay) => overlay.release())
      onReleased(complete !== undefined)
    },
  }
}

function refuseUnlessPartial(
  { layers, unmatched }: MatchedAdapters,
  uses: readonly AdapterUse[],
  descriptions: readonly AdapterDescription[],
): void {
  const strict = uses.filter((_, index) => !descriptions[index].partial).map(({ adapter }) => adapter)
  refusePartialMatch({ layers, unmatched: new Map([...unmatched].filter(([adapter]) => strict.includes(adapter))) })
}
