import { at } from '../at.js'
import { combine, type Term } from '../linear.js'
import type { Scheduler, SchedulerConfig } from '../scheduler.js'
import { booleanField, choiceField, invalidField, numberField, predictionType, refuseField } from './config.js'
import { noiseFactors } from './prediction.js'
import { levelAt, solverScaling, solverSchedule } from './solver-schedule.js'
import { timestepSpacing } from './spacing.js'

/** Schedules with fewer steps than this end with lower orders, for stability. */
const FEW_STEPS = 15

/**
 * DEIS with polynomials in log ρ, ρ = sigma/alpha: Zhang and Chen 2022 (arXiv 2204.13902), eq. 15, and
 * scheduling_deis_multistep.py of diffusers.
 */
export function createDeis(config: SchedulerConfig, steps: number): Scheduler {
  refuseField(config, 'thresholding', false)
  // Configs made for other solvers name theirs; there is only one here.
  choiceField(config, 'algorithm_type', ['deis', 'dpmsolver', 'dpmsolver++'], 'deis')
  choiceField(config, 'solver_type', ['logrho', 'midpoint', 'heun', 'bh1', 'bh2'], 'logrho')
  const solverOrder = readSolverOrder(config)
  const schedule = solverSchedule(config, steps, timestepSpacing(config, 'linspace'), (respaced) =>
    respaced ? 'last' : 'sigma_min',
  )
  const { levels, sigmas } = schedule
  const count = schedule.timesteps.length
  const lowerOrders = booleanField(config, 'lower_order_final', true) && count < FEW_STEPS
  const type = predictionType(config)
  /** Predicted noise, newest first. */
  let predictions: Float32Array[] = []

  return {
    ...solverScaling(schedule),
    stochastic: false,
    step(modelOutput, index, sample) {
      const level = levelAt(levels, index)
      const noise = noiseFactors(type, level.alpha, level.sigma)
      const prediction = combine([noise.sample, sample], [noise.output, modelOutput])
      predictions = [prediction, ...predictions].slice(0, solverOrder)

      const order = Math.min(lowerOrders ? count - index : solverOrder, predictions.length)
      const nodes = Array.from({ length: order }, (_, back) => at(sigmas, index - back))
      const end = at(sigmas, index + 1)
      const { alpha } = levelAt(levels, index + 1)
      const terms = predictions
        .slice(0, order)
        .map((values, back): Term => [alpha * basisIntegral(nodes, back, end), values])
      return combine([alpha / level.alpha, sample], ...terms)
    },
  }
}

/** The integral from the newest node to `end` of the polynomial in log ρ that is 1 at node `back` and 0 at the others. */
function basisIntegral(nodes: readonly number[], back: number, end: number): number {
  const node = Math.log(at(nodes, back))
  const others = nodes.filter((_, i) => i !== back).map(Math.log)
  const start = at(nodes, 0)
  const scale = others.reduce((product, other) => product * (node - other), 1)
  return (antiderivative(others, end) - antiderivative(others, start)) / scale
}

/** Of Π (log ρ - root), for up to two roots. */
function antiderivative(roots: readonly number[], rho: number): number {
  const log = Math.log(rho)
  const [first, second] = roots
  if (first === undefined) return rho
  if (second === undefined) return rho * (log - 1 - first)
  return rho * (log * log - 2 * log + 2 - (first + second) * (log - 1) + first * second)
}

function readSolverOrder(config: SchedulerConfig): number {
  const order = numberField(config, 'solver_order', 2)
  if (order === 1 || order === 2 || order === 3) return order
  throw invalidField('solver_order', order, '1 to 3')
}
