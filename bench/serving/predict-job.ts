import { simulateLayout, type Layout } from '../simulator/layouts.js'
import type { SimulatedJob, StageTimes } from '../simulator/model.js'
import { strategyOf, type StrategyName, type StrategyOptions } from '../simulator/strategies.js'
import { LORA_BOUND } from './serving-strategies.js'
import type { JobAddons } from './serving-job.js'

/** Later than any job ends. */
const LATER_MS = 1e9

/** What the daemon's own caches hold in the scenarios: more than is used. */
const ROOMY = { slots: 1000 } as const

/** The simulator's options for jobs of this many steps. */
export function strategyOptions(steps: number): StrategyOptions {
  return {
    ...{ loraBound: Math.ceil(LORA_BOUND * steps), controlNetCache: ROOMY, loraCache: ROOMY, overlayCache: ROOMY },
  }
}

/** The roles of two devices for jobs with this many ControlNets by a strategy, as `servingStrategy` asks for them. */
export function servedLayout(name: StrategyName, controlNets: number): Layout {
  if (name === 'control' || (name === 'all' && controlNets > 0)) return { bases: 1, seconds: 0, controlNets: 1 }
  if (name === 'halves' || name === 'all') return { bases: 1, seconds: 1, controlNets: 0 }
  return { bases: 2, seconds: 0, controlNets: 0 }
}

/**
 * The latency of one job on two devices that had its ControlNets, but not its LoRAs, in a job before, in milliseconds.
 */
export function predictLatency(name: StrategyName, addons: JobAddons, steps: number, times: StageTimes): number {
  const layout = servedLayout(name, addons.controlNets.length)
  const strategy = strategyOf(name, strategyOptions(steps))
  const job: SimulatedJob = { ...addons, arrivalMs: LATER_MS, steps }
  const before: SimulatedJob = { ...job, arrivalMs: 0, loras: [] }
  const { jobs } = simulateLayout(strategy, layout, times, [before, job])
  return jobs[1].finishedMs - jobs[1].arrivalMs
}
