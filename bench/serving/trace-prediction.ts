import { predict, simulateLayout } from '../simulator/layouts.js'
import type { SimulatedJob, SimulationResult, StageTimes } from '../simulator/model.js'
import { strategyOf, STRATEGY_NAMES, type StrategyName } from '../simulator/strategies.js'
import { summarizeJobs, type ServingSummary } from '../simulator/summary.js'
import { generateTrace, type TraceRequest } from '../trace/generate-trace.js'
import type { ServiceFacts } from '../trace/services.js'
import { servedLayout, strategyOptions } from './predict-job.js'

/** A trace's requests as the simulator takes them. */
export function simulatedJobs(trace: readonly TraceRequest[], steps: number): SimulatedJob[] {
  return trace.map((request) => ({ ...request, steps }))
}

/**
 * What the simulator expects of a strategy on the two devices that it is measured on; all jobs have ControlNets.
 */
export function predictServed(name: StrategyName, times: StageTimes, jobs: readonly SimulatedJob[]): ServingSummary {
  const strategy = strategyOf(name, strategyOptions(jobs[0].steps))
  return summarize(simulateLayout(strategy, servedLayout(name, 1), times, jobs))
}

/** What is lost to loading includes the patching, which cannot be told apart in measured jobs. */
function summarize({ jobs }: SimulationResult): ServingSummary {
  return summarizeJobs(jobs.map((job) => ({ ...job, loadingMs: job.loadingMs + job.patchingMs })))
}

/**
 * The rate at which the serial strategy keeps two devices busy for this share of the time.
 * @returns requests per minute
 */
export function rateForLoad(load: number, times: StageTimes, jobs: readonly SimulatedJob[]): number {
  const { serviceMs } = predictServed('serial', times, jobs)
  return (load * 2 * 60_000) / serviceMs.mean
}

export interface ScalingOptions {
  readonly devices: readonly number[]
  readonly service: ServiceFacts
  readonly steps: number
  readonly times: StageTimes
  /** Per device, per minute. */
  readonly rate: number
  readonly seed: number
}

/** Requests of one prediction for each device: as long a time for each number of devices. */
const REQUESTS_PER_DEVICE = 40

/** Mean latencies in milliseconds of each strategy for each number of devices, with as many requests for each device. */
export function predictScaling({
  devices,
  service,
  steps,
  times,
  rate,
  seed,
}: ScalingOptions): Record<StrategyName, number[]> {
  const latencies = Object.fromEntries(STRATEGY_NAMES.map((name) => [name, [] as number[]])) as Record<
    StrategyName,
    number[]
  >
  for (const count of devices) {
    const options = { service, seed, requests: REQUESTS_PER_DEVICE * count, requestsPerMinute: rate * count }
    const jobs = simulatedJobs(generateTrace(options), steps)
    for (const name of STRATEGY_NAMES) {
      const { result } = predict(strategyOf(name, strategyOptions(steps)), count, times, jobs)
      latencies[name].push(summarize(result).latencyMs.mean)
    }
  }
  return latencies
}
