import type { Prepared } from '../../src/daemon/workers/job-crew.js'
import type { SimulatedJob } from '../simulator/model.js'
import type { StrategyName } from '../simulator/strategies.js'
import type { TraceRequest } from '../trace/generate-trace.js'
import type { CalibrationJobs } from './calibrate.js'
import type { Calibrator } from './calibration-jobs.js'
import type { ServingDaemons } from './daemons.js'
import { replay, type ReplayedJob } from './replay.js'
import { servingRequest } from './serving-job.js'
import type { ServingModel } from './serving-model.js'
import { servingStrategy, type DeviceCount } from './serving-strategies.js'

/** Requests that arrive one after the other, the first one soon after the time 0. */
export type Segment = readonly TraceRequest[]

/**
 * Cuts a trace into segments, which are replayed by each strategy in turn: a drift of the machine's speed meets all of them.
 * Queues are empty at the begin of each.
 */
export function cutIntoSegments(trace: readonly TraceRequest[], length: number): Segment[] {
  return Array.from({ length: Math.ceil(trace.length / length) }, (_, index) => {
    const since = index === 0 ? 0 : trace[index * length - 1].arrivalMs
    const segment = trace.slice(index * length, (index + 1) * length)
    return segment.map((request) => ({ ...request, arrivalMs: request.arrivalMs - since }))
  })
}

/** Later than any segment's last job ends. */
const BETWEEN_SEGMENTS_MS = 1e8

/** Segments as one simulation sees them: caches go on, queues do not. */
export function simulatedSegments(segments: readonly Segment[], steps: number): SimulatedJob[] {
  return segments.flatMap((segment, index) =>
    segment.map(({ arrivalMs, ...addons }) => {
      return { ...addons, steps, arrivalMs: index * BETWEEN_SEGMENTS_MS + arrivalMs }
    }),
  )
}

export interface ReplaySegmentsOptions {
  readonly daemons: ServingDaemons
  readonly model: ServingModel
  readonly calibrator: Calibrator
  readonly devices: DeviceCount
  readonly strategies: readonly StrategyName[]
  /** Told before each segment. */
  readonly onSegment: (index: number) => void
}

/** What segments showed. */
export interface ReplayedSegments {
  readonly jobs: ReadonlyMap<StrategyName, readonly ReplayedJob[]>
  readonly prepared: ReadonlyMap<StrategyName, ReadonlyMap<string, readonly Prepared[]>>
  /** Two after each segment. */
  readonly calibration: readonly CalibrationJobs[]
}

/** Replays each segment by each strategy. */
export async function replaySegments(
  segments: readonly Segment[],
  { daemons, model, calibrator, devices, strategies, onSegment }: ReplaySegmentsOptions,
): Promise<ReplayedSegments> {
  const jobs = new Map(strategies.map((name) => [name, [] as ReplayedJob[]]))
  const calibration: CalibrationJobs[] = []
  for (const [index, segment] of segments.entries()) {
    onSegment(index)
    for (const name of strategies) {
      const strategy = servingStrategy(name, devices)
      const driver = await daemons.driver(name)
      const results = await replay(segment, strategy.bases, (request, base) =>
        driver.run(servingRequest(model, daemons.files, strategy, request, base)),
      )
      jobs.get(name)?.push(...results)
    }
    calibration.push(await calibrator.round(), await calibrator.round())
  }
  const prepared = strategies.map(async (name) => [name, (await daemons.driver(name)).prepared()] as const)
  return { jobs, calibration, prepared: new Map(await Promise.all(prepared)) }
}
