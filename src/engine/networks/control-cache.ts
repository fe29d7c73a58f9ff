import { typesOf, type GraphTarget } from '../graph/target.js'
import type { NativeHandle } from '../ort/native.js'
import { valueDims } from '../ort/value.js'
import { elementCount, tensorBytes, type NativeTensor } from '../tensor.js'
import type { Component } from '../weights/checkpoint.js'
import type { ControlNetConfig } from '../weights/config.js'
import { openControlNet, type ControlNet } from './controlnet.js'
import { EVICTION_RANKS, type DeviceMemory } from './device-memory.js'
import type { GraphCache } from './graph-cache.js'
import { controlNetGraphs, controlNetWork, type ControlWork } from './graph-work.js'
import { createNetworkFiles } from './network-files.js'
import { createResidency, type Lease, type Resident, type ResidentEntry } from './residency.js'
import { componentBytes, FLOAT_BYTES } from './weight-bytes.js'
import type { Workspaces } from './workspaces.js'

/** A ControlNet that is resident on a device, with the pictures that were embedded last. */
export interface CachedControlNet extends Resident {
  readonly path: string
  readonly network: ControlNet
  /**
   * The conditioning of a picture, (1, 3, H, W) in 0..1: embedded once, however many steps and jobs use it.
   * @param key what identifies the picture's content
   */
  conditioningOf(key: string, picture: NativeTensor): Promise<Lease<EmbeddedPicture>>
}

/** A control picture as a ControlNet sees it: (1, C, H/8, W/8). */
export interface EmbeddedPicture extends Resident {
  readonly conditioning: NativeHandle
}

/** The ControlNets of one device, shared by all jobs and base models that use them. */
export interface ControlCache {
  /**
   * @throws SwiftdError INVALID_WEIGHTS if the file is damaged or does not fit its configuration; OUT_OF_MEMORY
   */
  acquire(controlNet: ControlNetReference): Promise<Lease<CachedControlNet>>
  /** Makes sure that a ControlNet has the memory for what a job asks of it. @throws SwiftdError OUT_OF_MEMORY */
  prepare(controlNet: ControlNetReference, work: ControlWork): Promise<void>
  /** Keeps a ControlNet whatever the budget says. */
  pin(controlNet: ControlNetReference, pinned: boolean): void
  has(controlNet: ControlNetReference): boolean
  trim(): Promise<void>
  release(): Promise<void>
  entries(): readonly ResidentEntry<CachedControlNet>[]
}

/** A ControlNet's file and architecture, and its path as the identity. */
export interface ControlNetReference {
  readonly path: string
  readonly component: Component<ControlNetConfig>
}

export interface ControlCacheOptions {
  readonly graphs: GraphCache
  readonly cacheDirectory: string
  readonly memory: DeviceMemory
  readonly workspaces: Workspaces
  /** Settles when the device has the memory back that was released. */
  readonly afterRelease: () => Promise<void>
  /** What stays when nobody uses it, in bytes. */
  readonly budgetBytes: number
  /** Told what goes, and what needs its memory; undefined where it was over the budget. */
  readonly onEvicted?: (controlNet: CachedControlNet, neededFor: string | undefined) => void
}

/** How much of embedded pictures each ControlNet keeps: that of an SDXL picture of 1024x1024 takes 20 MiB. */
const KEPT_PICTURE_BYTES = 128 * 2 ** 20

export function createControlCache(options: ControlCacheOptions): ControlCache {
  const { graphs, memory, workspaces, budgetBytes, onEvicted } = options
  const residency = createResidency<CachedControlNet>({
    budgetBytes,
    memory: { account: memory, rank: EVICTION_RANKS.addOn },
    ...(onEvicted && { onEvicted }),
  })
  return {
    acquire(reference) {
      const { path, component } = reference
      const key = keyOf(reference)
      const need = async () => {
        return { byteLength: componentBytes(component, await graphs.target()), name: `The ControlNet ${path}` }
      }
      return residency.acquire(key, () => load(options, reference, () => residency.isHeld(key)), need)
    },
    async prepare({ path, component }, work) {
      const advice = (): string => 'make the image smaller, or fewer at once'
      await workspaces.prepare(controlNetWork(component, work, await graphs.target()), {
        name: `Work of the ControlNet ${path}`,
        advice,
      })
    },
    pin: (reference, pinned) => residency.pin(keyOf(reference), pinned),
    has: (reference) => residency.has(keyOf(reference)),
    trim: () => residency.trim(),
    release: () => residency.close(),
    entries: () => residency.entries,
  }
}

/** One file may be configured in several ways: what it does not tell follows from the base model. */
function keyOf({ path, component }: ControlNetReference): string {
  return `${path} ${JSON.stringify(component.config)}`
}

async function load(
  { graphs, cacheDirectory, memory, workspaces, afterRelease }: ControlCacheOptions,
  { path, component }: ControlNetReference,
  isHeld: () => boolean,
): Promise<CachedControlNet> {
  const device = await graphs.target()
  const unbind = workspaces.bind(controlNetGraphs(component, device), isHeld)
  try {
    const files = createNetworkFiles(device, cacheDirectory)
    try {
      const file = await files.open(component, 'controlNet')
      const network = await openControlNet(graphs, component.config, file)
      const pictures = createResidency<EmbeddedPicture>({
        budgetBytes: KEPT_PICTURE_BYTES,
        memory: { account: memory, rank: EVICTION_RANKS.addOn },
      })
      return {
        path,
        network,
        byteLength: componentBytes(component, device),
        conditioningOf: (key, picture) =>
          pictures.acquire(key, () => embed(network, picture), pictureNeed(network, picture, file.target)),
        async release() {
          await pictures.close()
          network.release()
          files.close()
          await afterRelease()
          unbind()
        },
      }
    } catch (error) {
      files.close()
      throw error
    }
  } catch (error) {
    unbind()
    throw error
  }
}

/** What an embedded picture takes: as many channels as the ControlNet's first block, at an eighth of the size. */
function pictureNeed({ config }: ControlNet, { dims }: NativeTensor, target: GraphTarget) {
  const [channels] = config.block_out_channels
  const halvings = config.conditioning_embedding_out_channels.length - 1
  const byteLength = ((elementCount(dims) / dims[1]) * channels * FLOAT_BYTES[typesOf(target).values]) / 4 ** halvings
  return () => Promise.resolve({ byteLength: Math.ceil(byteLength), name: 'The picture for a ControlNet' })
}

async function embed(network: ControlNet, picture: NativeTensor): Promise<EmbeddedPicture> {
  const { conditioning } = await network.embed(picture)
  return {
    conditioning,
    byteLength: tensorBytes('float32', valueDims(conditioning)),
    release: () => conditioning.release(),
  }
}
