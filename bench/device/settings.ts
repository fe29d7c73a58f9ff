import type { Figure } from '../harness.js'
import type { ProviderName } from '../../src/engine/provider-name.js'

/** A model to measure a device with. Paths. */
export interface DeviceModel {
  /** What its figures begin with. */
  readonly label: string
  readonly checkpoint: string
  readonly controlNet: string
  readonly lora: string
  /** Width and height of pictures in pixels. */
  readonly size: number
}

/** The device, as its process needs to know it. */
export interface PartDevice {
  readonly name: string
  readonly provider: ProviderName
  readonly threads: number
  /** Of its card on the PCI bus. */
  readonly address?: string
}

/** What a part of the scenario is told. Plain data: it crosses a process border. */
export interface PartSettings {
  readonly device: PartDevice
  readonly cacheDirectory: string
  readonly rounds: number
  /** In 10^12 floating-point operations per second. */
  readonly peak?: number
  readonly model: DeviceModel
}

/** What a part measured. */
export interface PartResult {
  /** Until the model was ready in a new process, from opening the runtime on, in milliseconds; absent if it was not measured. */
  readonly coldMs?: number
  readonly figures: Readonly<Record<string, Figure>>
}

/** In the order in which they are measured; each has a process of its own. */
export const PART_NAMES = ['steps', 'loading', 'loras', 'controlnets', 'memory'] as const

export type PartName = (typeof PART_NAMES)[number]

/** What the process of a part sends. */
export type PartReport = { readonly result: PartResult } | { readonly failure: string }
