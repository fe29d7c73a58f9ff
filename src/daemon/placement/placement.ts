import type { DeviceWorker } from '../workers/device-worker.js'

/** Which devices a job runs on. */
export interface Placement {
  /** Runs the text encoders, the UNet and the autoencoder, and the denoising loop. */
  readonly base: DeviceWorker
  /** Runs half of each batch. */
  readonly second?: DeviceWorker
  /** One for each ControlNet of the job; where it is the base, both are computed there, one after the other. */
  readonly controlNets: readonly DeviceWorker[]
}

/** Every device of a placement, once. */
export function devicesOf({ base, second, controlNets }: Placement): DeviceWorker[] {
  return [...new Set([base, ...(second ? [second] : []), ...controlNets])]
}
