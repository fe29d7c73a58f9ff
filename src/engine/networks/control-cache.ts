import type { NativeHandle } from '../ort/native.js'
import { valueDims } from '../ort/value.js'
import { tensorBytes, type NativeTensor } from '../tensor.js'
import type { Component } from '../weights/checkpoint.js'
import type { ControlNetConfig } from '../weights/config.js'
import { openSafetensors } from '../weights/safetensors.js'
import { weightsFromFile } from '../weights/weights.js'
import { openWeights } from '../weights/open-weights.js'
import { openControlNet, type ControlNet } from './controlnet.js'
import type { GraphCache } from './graph-cache.js'
import { createResidency, type Lease, type ResidencyOptions, type Resident, type ResidentEntry } from './residency.js'

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

/** How much of embedded pictures each ControlNet keeps: that of an SDXL picture of 1024x1024 takes 20 MiB. */
const KEPT_PICTURE_BYTES = 128 * 2 ** 20

export function createControlCache(
  graphs: GraphCache,
  cacheDirectory: string,
  options: ResidencyOptions,
): ControlCache {
  const residency = createResidency<CachedControlNet>(options)
  return {
    acquire(reference) {
      const need = { byteLength: float32Bytes(reference), name: `The ControlNet ${reference.path}` }
      return residency.acquire(keyOf(reference), () => load(graphs, cacheDirectory, reference), need)
    },
    pin: (reference, pinned) => residency.pin(keyOf(reference), pinned),
    has: (reference) => residency.has(keyOf(reference)),
    trim: () => residency.trim(),
    release: () => residency.drop(() => true),
    entries: () => residency.entries,
  }
}

/** One file may be configured in several ways: what it does not tell follows from the base model. */
function keyOf({ path, component }: ControlNetReference): string {
  return `${path} ${JSON.stringify(component.config)}`
}

/** What the weights take as this device computes with them. */
function float32Bytes({ component }: ControlNetReference): number {
  const file = openSafetensors(component.weightsPath)
  try {
    return [...file.tensors.values()].reduce((sum, { shape }) => sum + tensorBytes('float32', shape), 0)
  } finally {
    file.close()
  }
}

async function load(
  graphs: GraphCache,
  cacheDirectory: string,
  { path, component }: ControlNetReference,
): Promise<CachedControlNet> {
  const acceptHalf = await graphs.acceptsHalf()
  const file = await openWeights(component.weightsPath, { cacheDirectory, acceptHalf })
  const weights = weightsFromFile(file, component.names(file))
  try {
    const network = await openControlNet(graphs, component.config, weights)
    const pictures = createResidency<EmbeddedPicture>({ budgetBytes: KEPT_PICTURE_BYTES })
    return {
      path,
      network,
      byteLength: [...file.tensors.values()].reduce((sum, tensor) => sum + tensor.byteLength, 0),
      conditioningOf: (key, picture) => pictures.acquire(key, () => embed(network, picture)),
      async release() {
        await pictures.drop(() => true)
        network.release()
        weights.close()
      },
    }
  } catch (error) {
    weights.close()
    throw error
  }
}

async function embed(network: ControlNet, picture: NativeTensor): Promise<EmbeddedPicture> {
  const { conditioning } = await network.embed(picture)
  return {
    conditioning,
    byteLength: tensorBytes('float32', valueDims(conditioning)),
    release: () => conditioning.release(),
  }
}
