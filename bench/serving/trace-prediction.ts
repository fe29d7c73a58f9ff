import type { CacheCounts } from '../simulator/cache.js'
import { predict, simulateLayout } from '../simulator/layouts.js'
import type { SimulatedJob, SimulationResult, StageTimes } from '../simulator/model.js'
import { strategyOf, STRATEGY_NAMES, type StrategyName } from '../simulator/strategies.js'
import { summarizeJobs, type ServedJob, type ServingSummary } from '../simulator/summary.js'
import { generateTrace, type TraceRequest } from '../trace/generate-trace.js'
import { createRandom } from '../trace/random.js'
import type { ServiceFacts } from '../trace/services.js'
import type { Calibration } from './calibrate.js'
import { servedLayout, strategyOptions } from './predict-job.js'
import type { CacheSlots, DeviceCount } from './serving-strategies.js'
import { drawnTimes, meanTimes } from './stage-samples.js'

/** A trace's requests as the simulator takes them. */
export function simulatedJobs(trace: readonly TraceRequest[], steps: number): SimulatedJob[] {
  return trace.map((request) => ({ ...request, steps }))
}

/** What the simulator expects of a strategy on the devices that it is measured on; all jobs have ControlNets. */
export interface ServedPrediction {
  readonly summary: ServingSummary
  readonly controlNets: CacheCounts
  readonly loraSets: CacheCounts
}

export interface PredictServedOptions {
  readonly devices: DeviceCount
  readonly calibration: Calibration
  readonly slots: CacheSlots
}

/** Simulations that a prediction is made of: in each one the stages take other times. */
const REPETITIONS = 5

export function predictServed(
  name: StrategyName,
  { devices, calibration: { samples, sharing }, slots }: PredictServedOptions,
  jobs: readonly SimulatedJob[],
): ServedPrediction {
  const strategy = strategyOf(name, strategyOptions(jobs[0].steps, slots))
  const layout = servedLayout(name, 1, devices)
  const times = drawnTimes(samples, createRandom(1))
  const results = Array.from({ length: REPETITIONS }, () => simulateLayout(strategy, layout, times, jobs, sharing))
  const [{ caches }] = results
  return {
    summary: summarizeJobs(results.flatMap(servedJobs)),
    controlNets: caches.controlNet,
    loraSets: caches.overlay,
  }
}

/** What is lost to loading includes the patching, which cannot be told apart in measured jobs. */
function servedJobs({ jobs }: SimulationResult): ServedJob[] {
  return jobs.map((job) => ({ ...job, loadingMs: job.loadingMs + job.patchingMs }))
}

/**
 * The rate at which the strategy that needs its base devices for longest keeps them busy for this share of the time, so
 * that no strategy's queue grows without end.
 * @returns requests per minute
 */
export function rateForLoad(load: number, options: PredictServedOptions, jobs: readonly SimulatedJob[]): number {
  const rates = STRATEGY_NAMES.map((name) => {
    const { bases } = servedLayout(name, 1, options.devices)
    return (load * bases * 60_000) / predictServed(name, options, jobs).summary.serviceMs.mean
  })
  return Math.min(...rates)
}

export interface ScalingOptions {
  readonly devices: readonly number[]
  readonly service: ServiceFacts
  readonly steps: number
  readonly calibration: Calibration
  readonly slots: CacheSlots
  /** Per device, per minute. */
  readonly rate: number
  readonly seed: number
}

/** Requests of one prediction for each device: as long a time for each number of devices. */
const REQUESTS_PER_DEVICE = 40

/**
 * Mean latencies in milliseconds of each strategy for each number of devices, with as many requests for each device. The
 * devices are taken not to slow each other down, and every stage for its mean.
 */
export function predictScaling(options: ScalingOptions): Record<StrategyName, number[]> {
  const { devices, service, steps, calibration, slots, rate, seed } = options
  const latencies = Object.fromEntries(STRATEGY_NAMES.map((name) => [name, [] as number[]])) as Record<
    StrategyName,
    number[]
  >
  const times: StageTimes = meanTimes(calibration.samples)
  for (const count of devices) {
    const draft = { service, seed, requests: REQUESTS_PER_DEVICE * count, requestsPerMinute: rate * count }
    const jobs = simulatedJobs(generateTrace(draft), steps)
    for (const name of STRATEGY_NAMES) {
      const { result } = predict(strategyOf(name, strategyOptions(steps, slots)), count, times, jobs)
      latencies[name].push(summarizeJobs(servedJobs(result)).latencyMs.mean)
    }
  }
  return latencies
}
