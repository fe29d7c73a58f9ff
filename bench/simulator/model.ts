import type { CacheCounts, CacheLimit } from './cache.js'

/**
 * What each stage of a job takes on one device, in milliseconds; to be measured. The simulator reads a time whenever
 * something begins that takes it, so that times may be drawn anew each time.
 */
export interface StageTimes {
  /** Encoding the prompts of a job. */
  readonly promptMs: number
  /** The UNet's encoder with its mid block, both halves of the guidance as one batch. */
  readonly encoderMs: number
  /** The UNet's decoder, both halves as one batch. */
  readonly decoderMs: number
  /** One ControlNet, both halves as one batch. */
  readonly controlNetMs: number
  /** What one half takes of the time of both. */
  readonly halfShare: number
  /** Between the parts of a step and until the next one, beside computing. */
  readonly betweenStepsMs: number
  /** From the end of a ControlNet's run on a device of its own until the base device can add its residuals. */
  readonly transferMs: number
  /** Bringing the two halves together when they are on two devices, once per step. */
  readonly exchangeMs: number
  readonly vaeMs: number
  /** Reading one LoRA, matching it with the model, and its part of the text encoders. */
  readonly loraLoadMs: number
  /** Computing one LoRA's part of the UNet's overlay. */
  readonly loraPatchMs: number
  /** Having one ControlNet ready that was not resident. */
  readonly controlNetLoadMs: number
}

/**
 * base: works on jobs, one at a time. second: computes the second half of the guidance for a base device; the n-th one
 * belongs to the n-th base device. controlNet: computes ControlNets of any job.
 */
export type Role = 'base' | 'second' | 'controlNet'

export interface DeviceSpec {
  readonly name: string
  readonly role: Role
  readonly times: StageTimes
}

export type LoraLoading =
  /** Read and patched before anything else of the job. */
  | { readonly mode: 'serial' }
  /**
   * Read beside the prompt and the first steps, or, with `readFirst`, before the prompt. At step `bound`, from 0, the job
   * waits for what is missing. Patching takes the base device's time between two steps, or happens beside the steps.
   */
  | {
      readonly mode: 'asynchronous'
      readonly bound: number
      readonly patching: 'between-steps' | 'beside-steps'
      readonly readFirst?: boolean
    }

/** How jobs are served. */
export interface Strategy {
  /** Before the UNet's encoder on the same device, or at the same time on devices of the role controlNet. */
  readonly controlNets: 'co-located' | 'service'
  readonly loras: LoraLoading
  /** Both halves of the guidance as one batch, or on two devices; those with the role second are then needed. */
  readonly latentParallel: boolean
  /** Of each device that runs ControlNets. */
  readonly controlNetCache: CacheLimit
  /** LoRAs that were read; of each base device. */
  readonly loraCache: CacheLimit
  /** Overlays of whole sets of LoRAs; of each base device. */
  readonly overlayCache: CacheLimit
}

/** Add-ons are named by numbers. */
export interface SimulatedJob {
  readonly arrivalMs: number
  readonly steps: number
  readonly controlNets: readonly number[]
  readonly loras: readonly number[]
  /** What its stages take, where that is not what the devices' own times say. */
  readonly times?: StageTimes
}

/** Times since the beginning, in milliseconds. */
export interface JobResult {
  readonly arrivalMs: number
  /** When a base device took it. */
  readonly startedMs: number
  readonly finishedMs: number
  /** In which the job did nothing but wait for something to be loaded. */
  readonly loadingMs: number
  /** In which it did nothing but patch. */
  readonly patchingMs: number
  /** In which the base device waited for residuals of loaded ControlNets. */
  readonly residualWaitMs: number
  /** The first step with the LoRAs, from 0; only for jobs that have some. */
  readonly loraStep?: number
}

export interface DeviceResult {
  readonly name: string
  readonly role: Role
  readonly busyMs: number
  readonly loadingMs: number
}

export interface SimulationResult {
  /** In the order of the jobs given. */
  readonly jobs: readonly JobResult[]
  readonly devices: readonly DeviceResult[]
  readonly caches: {
    readonly controlNet: CacheCounts
    readonly lora: CacheCounts
    readonly overlay: CacheCounts
  }
  /** When the last job was finished. */
  readonly endMs: number
}
