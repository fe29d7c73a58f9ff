import type { Scheduler, SchedulerConfig } from '../scheduler.js'
import { booleanField } from './config.js'
import { dpmSolverSettings } from './dpm-solver-config.js'
import { multistepUpdate, type Prediction } from './dpm-solver-update.js'
import { levelAt, solverScaling, solverSchedule } from './solver-schedule.js'
import { timestepSpacing } from './spacing.js'

/** Schedules with fewer steps than this end with lower orders, for stability. */
const FEW_STEPS = 15

/**
 * DPM-Solver and DPM-Solver++ with earlier predictions for slopes, ODE and SDE: Lu et al. 2022 (arXiv 2211.01095),
 * algorithm 2, and scheduling_dpmsolver_multistep.py of diffusers.
 */
export function createDpmSolverMultistep(config: SchedulerConfig, steps: number): Scheduler {
  const settings = dpmSolverSettings(config, ['dpmsolver++', 'dpmsolver', 'sde-dpmsolver++', 'sde-dpmsolver'])
  const schedule = solverSchedule(config, steps, timestepSpacing(config, 'linspace'), () => settings.final)
  const count = schedule.timesteps.length
  const lowerOrders = booleanField(config, 'lower_order_final', true) && count < FEW_STEPS
  const eulerAtFinal = booleanField(config, 'euler_at_final', false) || lowerOrders || settings.final === 'zero'
  const stochastic = settings.algorithm === 'sde-dpmsolver++' || settings.algorithm === 'sde-dpmsolver'
  /** Newest first. */
  let predictions: Prediction[] = []

  const orderAt = (index: number): number => {
    if (index === count - 1 && eulerAtFinal) return 1
    if (index === count - 2 && lowerOrders) return Math.min(settings.solverOrder, 2)
    return settings.solverOrder
  }

  return {
    ...solverScaling(schedule),
    stochastic,
    step(modelOutput, index, sample, drawNoise) {
      const level = levelAt(schedule.levels, index)
      const values = settings.convert(modelOutput, level, sample)
      predictions = [{ level, values }, ...predictions].slice(0, settings.solverOrder)
      const noise = stochastic ? drawNoise() : undefined
      const to = levelAt(schedule.levels, index + 1)
      return multistepUpdate(settings, predictions.slice(0, orderAt(index)), to, sample, noise)
    },
  }
}
