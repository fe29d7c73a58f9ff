import type { DeviceStep } from '../../src/daemon/protocol/event.js'
import type { GenerateRequest } from '../../src/daemon/protocol/request.js'
import type { Preloaded, PreloadRequest } from '../../src/daemon/protocol/preload.js'
import type { Prepared } from '../../src/daemon/workers/job-crew.js'

/** What the scenarios ask of a job beyond prompt and size: the fields of the HTTP request. */
export interface AddonFields {
  readonly controls?: { controlNet: string; image: string }[]
  readonly loras?: { name: string; scale?: number }[]
  /** Steps that may run without the LoRAs: whole steps, or a share of all if below 1. */
  readonly loraBound?: number
  readonly latentParallel?: boolean
  readonly placement?: { baseDevice?: string; secondDevice?: string; controlNetDevices?: string[] }
}

export type ServingRequest = GenerateRequest & AddonFields

/** A step of a finished job. Times are milliseconds. */
export interface MeasuredStep {
  /** Since the one before, or since denoising began. */
  readonly elapsedMs: number
  /** What each device did in it. */
  readonly devices: readonly DeviceStep[]
}

/** A finished job. Times are milliseconds since the epoch. */
export interface MeasuredJob {
  readonly id: string
  readonly submittedMs: number
  /** When the last step was done and the image was decoded from then on. */
  readonly decodingMs: number
  readonly finishedMs: number
  readonly steps: readonly MeasuredStep[]
  /** The model call from which on LoRAs were in effect, from 0; absent without any. */
  readonly loraStep?: number
}

/** What runs jobs. */
export interface Driver {
  /** @throws Error if the job does not complete, or other devices than asked for did its work */
  run(request: ServingRequest): Promise<MeasuredJob>
  /** Makes things ready on every base device. */
  preload(request: PreloadRequest): Promise<readonly Preloaded[]>
  /** What workers made ready for the jobs so far, by job. */
  prepared(): ReadonlyMap<string, readonly Prepared[]>
}

/** From the submission to the finished image. */
export function latencyOf({ submittedMs, finishedMs }: MeasuredJob): number {
  return finishedMs - submittedMs
}
