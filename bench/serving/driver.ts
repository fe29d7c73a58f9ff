import type { GenerateRequest } from '../../src/daemon/protocol/request.js'

/** What the scenarios ask of a job beyond prompt and size: the fields of the HTTP request. */
export interface AddonFields {
  readonly controls?: { controlNet: string; image: string }[]
  readonly loras?: { name: string }[]
  /** Steps that may run without the LoRAs: whole steps, or a share of all if below 1. */
  readonly loraBound?: number
  readonly latentParallel?: boolean
  readonly placement?: { baseDevice?: string; secondDevice?: string; controlNetDevices?: string[] }
}

export type ServingRequest = GenerateRequest & AddonFields

/** A finished job. Times are milliseconds since the epoch. */
export interface MeasuredJob {
  readonly submittedMs: number
  readonly startedMs: number
  readonly finishedMs: number
  /** Of each step, since the one before or since denoising began. */
  readonly stepMs: readonly number[]
}

/** What runs jobs. */
export interface Driver {
  /** @throws Error if the job does not complete */
  run(request: ServingRequest): Promise<MeasuredJob>
}

/** From the submission to the finished image. */
export function latencyOf({ submittedMs, finishedMs }: MeasuredJob): number {
  return finishedMs - submittedMs
}
