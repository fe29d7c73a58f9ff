import type { Prepared } from '../../src/daemon/workers/job-crew.js'
import type { SimulatedJob, StageTimes } from '../simulator/model.js'
import type { StrategyName } from '../simulator/strategies.js'
import type { TraceRequest } from '../trace/generate-trace.js'
import type { CalibrationJobs } from './calibrate.js'
import { mergeRounds, type Calibrator } from './calibration-jobs.js'
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

/**
 * Segments as one simulation sees them: caches go on, queues do not.
 * @param times what stages take in each segment; without it the devices' own times count
 */
export function simulatedSegments(
  segments: readonly Segment[],
  steps: number,
  times: readonly StageTimes[] = [],
): SimulatedJob[] {
  return segments.flatMap((segment, index) =>
    segment.map(({ arrivalMs, ...addons }) => ({
      ...{ ...addons, steps, arrivalMs: index * BETWEEN_SEGMENTS_MS + arrivalMs },
      ...(index < times.length && { times: times[index] }),
    })),
  )
}

export interface ReplaySegmentsOptions {
  readonly daemons: ServingDaemons
  readonly model: ServingModel
  readonly calibrator: Calibrator
  readonly devices: DeviceCount
  readonly strategies: readonly StrategyName[]
  /** When jobs run that stage times are taken from: between any two replays, or before and after each segment. */
  readonly calibration: 'replays' | 'segments'
  /** Told before each segment. */
  readonly onSegment: (index: number) => void
}

/** What segments showed. */
export interface ReplayedSegments {
  readonly strategies: ReadonlyMap<StrategyName, ReplayedStrategy>
  /** All jobs that stage times are taken from, in rounds. */
  readonly calibration: readonly CalibrationJobs[]
}

export interface ReplayedStrategy {
  readonly jobs: readonly ReplayedJob[]
  /** What workers made ready for them. */
  readonly prepared: ReadonlyMap<string, readonly Prepared[]>
  /** For each segment the jobs that stage times are taken from, of just before and just after it. */
  readonly calibration: readonly CalibrationJobs[]
}

/** Replays each segment by each strategy. */
export async function replaySegments(
  segments: readonly Segment[],
  { daemons, model, calibrator, devices, strategies, calibration, onSegment }: ReplaySegmentsOptions,
): Promise<ReplayedSegments> {
  const rounds = [await calibrator.round()]
  const replayed = strategies.map((name) => ({ name, jobs: [] as ReplayedJob[], roundsBefore: [] as number[] }))
  for (const [index, segment] of segments.entries()) {
    onSegment(index)
    for (const each of replayed) {
      const strategy = servingStrategy(each.name, devices)
      const driver = await daemons.driver(each.name)
      each.roundsBefore.push(rounds.length)
      const results = await replay(segment, strategy.bases, (request, base) =>
        driver.run(servingRequest(model, daemons.files, strategy, request, base)),
      )
      each.jobs.push(...results)
      if (calibration === 'replays' || each === replayed.at(-1)) rounds.push(await calibrator.round())
    }
  }
  const entries = replayed.map(async ({ name, jobs, roundsBefore }) => {
    const prepared = (await daemons.driver(name)).prepared()
    const nearby = roundsBefore.map((count) => mergeRounds(rounds.slice(count - 1, count + 1)))
    return [name, { jobs, prepared, calibration: nearby }] as const
  })
  return { strategies: new Map(await Promise.all(entries)), calibration: rounds }
}
