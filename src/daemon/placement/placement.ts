import type { DeviceWorker } from '../workers/device-worker.js'

/** What a job needs of devices. */
export interface PlacementNeeds {
  /** How many ControlNets it has. */
  readonly controlNets: number
  /** Split each batch between two devices; `auto` does so where it is predicted to be faster. */
  readonly latentParallel: boolean | 'auto'
  /** Rows of a batch: the images, twice with guidance. */
  readonly batch: number
  /** Names of devices that were asked for. */
  readonly baseDevice?: string
  readonly secondDevice?: string
  /** One for each ControlNet; the last one serves those that are left. */
  readonly controlNetDevices?: readonly string[]
  readonly textDevice?: string
}

/** Which devices a job runs on. */
export interface Placement {
  /** Runs the UNet and the denoising loop, and whatever has no device of its own. */
  readonly base: DeviceWorker
  /** Runs the text encoders and the autoencoder. @default the base */
  readonly text?: DeviceWorker
  /** Runs half of each batch. */
  readonly second?: DeviceWorker
  /** One for each ControlNet of the job. The base stands for whoever computes the UNet: they compute it themselves. */
  readonly controlNets: readonly DeviceWorker[]
  /** One for each ControlNet, for the rows of the second device. @default those of `controlNets` */
  readonly secondControlNets?: readonly DeviceWorker[]
  /** What a person should know of the choice. */
  readonly notes: readonly string[]
}

/** The devices of the daemon at a moment. */
export interface Availability {
  readonly devices: readonly DeviceWorker[]
  /** Those that are neither base nor second device of a job. */
  readonly free: readonly DeviceWorker[]
  /** Jobs that wait for devices, with the one that is asked about. */
  readonly waiting: number
}

/** A job starts, or it waits for devices that no later job may take. */
export type PlacementChoice =
  | { readonly kind: 'start'; readonly placement: Placement }
  | {
      readonly kind: 'wait'
      readonly claims: readonly DeviceWorker[]
      /** When to ask again, besides whenever a device gets free. It never rejects. */
      readonly until?: Promise<void>
    }
