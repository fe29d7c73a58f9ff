import type { Sharing } from './device.js'
import type { DeviceSpec, SimulatedJob, SimulationResult, StageTimes, Strategy } from './model.js'
import { simulate } from './simulate.js'
import { summarizeJobs } from './summary.js'

/** How many devices have which role. */
export interface Layout {
  readonly bases: number
  /** 0, or as many as `bases`. */
  readonly seconds: number
  readonly controlNets: number
}

export interface Prediction {
  readonly layout: Layout
  readonly result: SimulationResult
}

/** Shares of the devices that are tried for ControlNets. */
const CONTROL_SHARES = [1 / 8, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4]

/**
 * The ways to divide a number of devices that are worth trying: those that serve one of the strategy's ideas at least. With
 * two devices either ControlNets have one of their own or the halves of the guidance do; one device has all roles.
 */
export function candidateLayouts(strategy: Strategy, devices: number): Layout[] {
  const controlCounts =
    strategy.controlNets === 'service' ? CONTROL_SHARES.map((share) => Math.round(share * devices)) : []
  const layouts = [...new Set([0, ...controlCounts])].flatMap((controlNets): Layout[] => {
    const rest = devices - controlNets
    const pairs = strategy.latentParallel ? Math.floor(rest / 2) : 0
    return [
      { bases: rest, seconds: 0, controlNets },
      { bases: pairs, seconds: pairs, controlNets },
    ]
  })
  const possible = layouts.filter(({ bases }) => bases > 0)
  const served = ({ seconds, controlNets }: Layout): number => Number(seconds > 0) + Number(controlNets > 0)
  const least = Math.min(1, Math.max(...possible.map(served)))
  return possible.filter((layout) => served(layout) >= least)
}

/** Devices of one kind in the roles of a layout. */
export function devicesOf({ bases, seconds, controlNets }: Layout, times: StageTimes): DeviceSpec[] {
  const some = (role: DeviceSpec['role'], count: number): DeviceSpec[] =>
    Array.from({ length: count }, (_, index) => ({ name: `${role} ${index}`, role, times }))
  return [...some('base', bases), ...some('second', seconds), ...some('controlNet', controlNets)]
}

/** Serves those of a strategy's ideas for which the layout has devices. */
export function simulateLayout(
  strategy: Strategy,
  layout: Layout,
  times: StageTimes,
  jobs: readonly SimulatedJob[],
  sharing?: Sharing,
): SimulationResult {
  const possible: Strategy = {
    ...strategy,
    controlNets: layout.controlNets > 0 ? strategy.controlNets : 'co-located',
    latentParallel: layout.seconds > 0,
  }
  return simulate({ devices: devicesOf(layout, times), strategy: possible, jobs, ...(sharing && { sharing }) })
}

/** Simulates all candidate layouts; the one with the least mean latency. */
export function predict(
  strategy: Strategy,
  devices: number,
  times: StageTimes,
  jobs: readonly SimulatedJob[],
): Prediction {
  const predictions = candidateLayouts(strategy, devices).map((layout) => {
    return { layout, result: simulateLayout(strategy, layout, times, jobs) }
  })
  const latency = ({ result }: Prediction): number => summarizeJobs(result.jobs).latencyMs.mean
  return predictions.reduce((best, each) => (latency(each) < latency(best) ? each : best))
}
