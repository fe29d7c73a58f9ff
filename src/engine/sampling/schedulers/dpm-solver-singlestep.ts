import { at } from '../at.js'
import type { Scheduler, SchedulerConfig } from '../scheduler.js'
import { booleanField } from './config.js'
import { dpmSolverSettings } from './dpm-solver-config.js'
import { singlestepUpdate, type Prediction } from './dpm-solver-update.js'
import { levelAt, solverScaling, solverSchedule } from './solver-schedule.js'

/**
 * DPM-Solver and DPM-Solver++ in groups of steps of rising order, each of which redoes its group: Lu et al. 2022
 * (arXiv 2211.01095), algorithm 1, and scheduling_dpmsolver_singlestep.py of diffusers. It has no timestep spacing.
 */
export function createDpmSolverSinglestep(config: SchedulerConfig, steps: number): Scheduler {
  const settings = dpmSolverSettings(config, ['dpmsolver++', 'dpmsolver'])
  const schedule = solverSchedule(config, steps, 'linspace', () => settings.final)
  const { solverOrder } = settings
  const lowerOrders =
    booleanField(config, 'lower_order_final', false) || steps % solverOrder !== 0 || settings.final === 'zero'
  const orders = ordersOfSteps(steps, solverOrder, lowerOrders)
  /** Newest first. */
  let predictions: Prediction[] = []
  let groupStart: Float32Array | undefined

  return {
    ...solverScaling(schedule),
    stochastic: false,
    step(modelOutput, index, sample) {
      const level = levelAt(schedule.levels, index)
      predictions = [{ level, values: settings.convert(modelOutput, level, sample) }, ...predictions].slice(
        0,
        solverOrder,
      )
      // A run that begins inside of a group has too few predictions for the order and starts a shorter group.
      const order = Math.min(at(orders, index), predictions.length)
      if (order === 1 || groupStart === undefined) groupStart = sample
      return singlestepUpdate(settings, predictions.slice(0, order), levelAt(schedule.levels, index + 1), groupStart)
    },
  }
}

/** Groups 1, 2, …, `order` as often as they fit, then what is left; `lowerOrders` cuts the last whole group short. */
function ordersOfSteps(steps: number, order: number, lowerOrders: boolean): number[] {
  const orders = Array.from({ length: steps }, (_, i) => (i % order) + 1)
  if (lowerOrders && steps % order === 0) orders[steps - 1] = 1
  return orders
}
