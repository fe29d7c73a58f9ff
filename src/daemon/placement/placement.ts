import type { DeviceWorker } from '../workers/device-worker.js'

/** Which devices a job runs on. */
export interface Placement {
  /** Runs the text encoders, the UNet and the autoencoder, and the denoising loop. */
  readonly base: DeviceWorker
  /** Runs half of each batch. */
  readonly second?: DeviceWorker
  /** One for each ControlNet of the job. The base stands for whoever computes the UNet: they compute it themselves. */
  readonly controlNets: readonly DeviceWorker[]
  /** What a person should know of the choice. */
  readonly notes: readonly string[]
}

/** The devices of the daemon at a moment. */
export interface Availability {
  readonly devices: readonly DeviceWorker[]
  /** Those that are neither base nor second device of a job. */
  readonly free: readonly DeviceWorker[]
}

/** A job starts, or it waits for devices that no later job may take. */
export type PlacementChoice =
  | { readonly kind: 'start'; readonly placement: Placement }
  | { readonly kind: 'wait'; readonly claims: readonly DeviceWorker[] }
