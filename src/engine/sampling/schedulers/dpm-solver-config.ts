import { combine } from '../linear.js'
import type { SchedulerConfig } from '../scheduler.js'
import { choiceField, invalidField, numberField, predictionType, refuseField } from './config.js'
import type { DpmAlgorithm, DpmSolverType, UpdateRule } from './dpm-solver-update.js'
import { noiseFactors, originalFactors } from './prediction.js'
import type { FinalSigma, NoiseLevel } from './solver-schedule.js'

/** What both DPM-Solver schedulers read of their config. */
export interface DpmSolverSettings extends UpdateRule {
  readonly solverOrder: number
  readonly final: FinalSigma
  /** Turns a model output at a noise level into what the algorithm integrates. */
  convert(modelOutput: Float32Array, level: NoiseLevel, sample: Float32Array): Float32Array
}

/** @throws SwiftdError INVALID_CONFIG for values and combinations that DPM-Solver does not have */
export function dpmSolverSettings(config: SchedulerConfig, algorithms: readonly DpmAlgorithm[]): DpmSolverSettings {
  refuseField(config, 'thresholding', false)
  refuseLearnedVariance(config)
  const algorithm = readAlgorithm(config, algorithms)
  const final = choiceField(config, 'final_sigmas_type', ['zero', 'sigma_min'], 'zero')
  const integratesClean = algorithm === 'dpmsolver++' || algorithm === 'sde-dpmsolver++'
  if (!integratesClean && final === 'zero') {
    throw invalidField('final_sigmas_type', final, `"sigma_min" with the algorithm_type ${algorithm}`)
  }
  const type = predictionType(config)
  return {
    algorithm,
    solverType: readSolverType(config),
    solverOrder: readSolverOrder(config, algorithm),
    final,
    convert(modelOutput, { alpha, sigma }, sample) {
      const factors = integratesClean ? originalFactors(type, alpha, sigma) : noiseFactors(type, alpha, sigma)
      return combine([factors.sample, sample], [factors.output, modelOutput])
    },
  }
}

/** Configs made for DEIS name its algorithm; diffusers takes DPM-Solver++ for it. */
function readAlgorithm(config: SchedulerConfig, algorithms: readonly DpmAlgorithm[]): DpmAlgorithm {
  const chosen = choiceField(config, 'algorithm_type', [...algorithms, 'deis'], 'dpmsolver++')
  return chosen === 'deis' ? 'dpmsolver++' : chosen
}

/** Configs made for DEIS and UniPC name solvers of theirs; diffusers takes midpoint for them. */
function readSolverType(config: SchedulerConfig): DpmSolverType {
  const chosen = choiceField(config, 'solver_type', ['midpoint', 'heun', 'logrho', 'bh1', 'bh2'], 'midpoint')
  return chosen === 'heun' ? 'heun' : 'midpoint'
}

function readSolverOrder(config: SchedulerConfig, algorithm: DpmAlgorithm): number {
  const most = algorithm === 'sde-dpmsolver++' || algorithm === 'sde-dpmsolver' ? 2 : 3
  const order = numberField(config, 'solver_order', 2)
  if (Number.isInteger(order) && order >= 1 && order <= most) return order
  throw invalidField('solver_order', order, `1 to ${most} with the algorithm_type ${algorithm}`)
}

function refuseLearnedVariance(config: SchedulerConfig): void {
  const variance = config.variance_type
  if (variance !== 'learned' && variance !== 'learned_range') return
  throw invalidField('variance_type', variance, 'models that predict no variance')
}
