import { median } from '../harness.js'
import type { CacheLimit } from '../simulator/cache.js'
import { simulateLayout, type Layout } from '../simulator/layouts.js'
import type { SimulatedJob } from '../simulator/model.js'
import { strategyOf, type StrategyName, type StrategyOptions } from '../simulator/strategies.js'
import { createRandom } from '../trace/random.js'
import type { Calibration } from './calibrate.js'
import { LORA_BOUND, type CacheSlots, type DeviceCount } from './serving-strategies.js'
import type { JobAddons } from './serving-job.js'
import { drawnTimes } from './stage-samples.js'

/** Later than any job ends. */
const LATER_MS = 1e9

/** What the daemon's own caches hold: more than is used. */
const ROOMY: CacheSlots = { controlNets: 1000, loraSets: 1000 }

const SEED = 1
/** Of one job, whose stages take other times each time. */
const REPETITIONS = 101

/** The simulator's options for jobs of this many steps. */
export function strategyOptions(steps: number, { controlNets, loraSets }: CacheSlots = ROOMY): StrategyOptions {
  const slots = (count: number): CacheLimit => ({ slots: count })
  return {
    // As the daemon reads a share of the steps.
    loraBound: Math.floor(LORA_BOUND * steps),
    ...{ controlNetCache: slots(controlNets), overlayCache: slots(loraSets) },
  }
}

/** The roles of devices for jobs with this many ControlNets by a strategy, as `servingStrategy` asks for them. */
export function servedLayout(name: StrategyName, controlNets: number, devices: DeviceCount = 2): Layout {
  if (devices === 1) return { bases: 1, seconds: 0, controlNets: 0 }
  if (name === 'control' || (name === 'all' && controlNets > 0)) return { bases: 1, seconds: 0, controlNets: 1 }
  if (name === 'halves' || name === 'all') return { bases: 1, seconds: 1, controlNets: 0 }
  return { bases: 2, seconds: 0, controlNets: 0 }
}

/**
 * The median latency of one job on two devices that had its ControlNets, but not its LoRAs, in a job before, in milliseconds.
 */
export function predictLatency(
  name: StrategyName,
  addons: JobAddons,
  steps: number,
  { samples, sharing }: Calibration,
): number {
  const layout = servedLayout(name, addons.controlNets.length)
  const strategy = strategyOf(name, strategyOptions(steps))
  const times = drawnTimes(samples, createRandom(SEED))
  const job: SimulatedJob = { ...addons, arrivalMs: LATER_MS, steps }
  const before: SimulatedJob = { ...job, arrivalMs: 0, loras: [] }
  const latencies = Array.from({ length: REPETITIONS }, () => {
    const { jobs } = simulateLayout(strategy, layout, times, [before, job], sharing)
    return jobs[1].finishedMs - jobs[1].arrivalMs
  })
  return median(latencies)
}
