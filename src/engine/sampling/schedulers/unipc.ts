import { at } from '../at.js'
import { combine, type Term } from '../linear.js'
import type { Scheduler, SchedulerConfig } from '../scheduler.js'
import { booleanField, choiceField, invalidField, numberField, predictionType, refuseField } from './config.js'
import { solveLinear } from './linear-system.js'
import { noiseFactors, originalFactors } from './prediction.js'
import { levelAt, solverScaling, solverSchedule, type NoiseLevel } from './solver-schedule.js'
import { timestepSpacing } from './spacing.js'

/** A converted model output and the noise level that it was made at. */
interface Prediction {
  readonly level: NoiseLevel
  readonly values: Float32Array
}

interface Rule {
  /** Which B(h) of the paper: h itself or e^h - 1. */
  readonly solverType: 'bh1' | 'bh2'
  /** Whether clean latents are integrated, or noise. */
  readonly predictX0: boolean
}

/**
 * UniPC: Zhao et al. 2023 (arXiv 2302.04867), algorithms 1 and 2, and scheduling_unipc_multistep.py of diffusers. Each
 * call first corrects the sample that the last one predicted, then predicts the next.
 */
export function createUniPc(config: SchedulerConfig, steps: number): Scheduler {
  const { rule, solverOrder, uncorrected, lowerOrderFinal } = readSettings(config)
  const type = predictionType(config)
  const schedule = solverSchedule(config, steps, timestepSpacing(config, 'linspace'), (respaced) =>
    respaced ? 'last' : 'sigma_min',
  )
  const { levels } = schedule
  const count = schedule.timesteps.length
  /** Newest first. */
  let predictions: Prediction[] = []
  let last: { readonly sample: Float32Array; readonly order: number } | undefined

  return {
    ...solverScaling(schedule),
    stochastic: false,
    step(modelOutput, index, sample) {
      const level = levelAt(levels, index)
      const factorsOf = rule.predictX0 ? originalFactors : noiseFactors
      const factors = factorsOf(type, level.alpha, level.sigma)
      const prediction = { level, values: combine([factors.sample, sample], [factors.output, modelOutput]) }
      const corrected =
        last && !uncorrected.includes(index - 1)
          ? correct(rule, predictions.slice(0, last.order), prediction, last.sample)
          : sample

      predictions = [prediction, ...predictions].slice(0, solverOrder)
      const order = Math.min(lowerOrderFinal ? count - index : solverOrder, predictions.length)
      last = { sample: corrected, order }
      return predict(rule, predictions.slice(0, order), levelAt(levels, index + 1), corrected)
    },
  }
}

/** UniP: from the newest prediction's level to `to`. */
function predict(rule: Rule, predictions: readonly Prediction[], to: NoiseLevel, sample: Float32Array): Float32Array {
  // A respaced schedule ends where its last step begins.
  if (predictions[0]?.level.lambda === to.lambda) return sample.slice()
  const { base, residual, ratios, moments, anchor } = expand(rule, predictions, to, sample)
  const order = predictions.length
  // The paper's choice for order 2, where the general solution is close to it.
  const weights = order === 2 ? [0.5] : solveLinear(powers(ratios, order - 1), moments.slice(0, order - 1))
  return combine(...base, ...differences(predictions, anchor, ratios, weights, residual))
}

/** UniC: redoes the step to `reached` now that the model was asked there. `sample` is where that step began. */
function correct(
  rule: Rule,
  predictions: readonly Prediction[],
  reached: Prediction,
  sample: Float32Array,
): Float32Array {
  const { base, residual, ratios, moments, anchor } = expand(rule, predictions, reached.level, sample)
  const order = predictions.length
  const weights = order === 1 ? [0.5] : solveLinear(powers([...ratios, 1], order), moments)
  const last = residual * at(weights, order - 1)
  return combine(
    ...base,
    ...differences(predictions, anchor, ratios, weights, residual),
    [last, reached.values],
    [-last, anchor],
  )
}

/** What both updates share: the first-order step, and the factors of the differences that are added to it. */
function expand(
  { solverType, predictX0 }: Rule,
  predictions: readonly Prediction[],
  to: NoiseLevel,
  sample: Float32Array,
) {
  const [newest] = predictions
  if (!newest) throw new RangeError('UniPC needs a prediction.')
  const from = newest.level
  const h = to.lambda - from.lambda
  const signed = predictX0 ? -h : h
  const growth = Math.expm1(signed)
  const scale = predictX0 ? to.alpha : to.sigma
  const kept = predictX0 ? to.sigma / from.sigma : to.alpha / from.alpha
  const base: [Term, Term] = [
    [kept, sample],
    [-scale * growth, newest.values],
  ]
  const divisor = solverType === 'bh1' ? signed : growth
  return {
    base,
    anchor: newest.values,
    residual: -scale * divisor,
    ratios: predictions.slice(1).map(({ level }) => (level.lambda - from.lambda) / h),
    moments: phiMoments(signed, growth, predictions.length).map((moment) => moment / divisor),
  }
}

/** k! · φ_{k+1}(h) · h for k = 1 … `count`, the right-hand side of the paper's order conditions (eq. 8). */
function phiMoments(h: number, growth: number, count: number): number[] {
  const moments: number[] = []
  let factorial = 1
  let phi = growth / h - 1
  for (let k = 1; k <= count; k++) {
    moments.push(phi * factorial)
    factorial *= k + 1
    phi = phi / h - 1 / factorial
  }
  return moments
}

/** Row i holds the i-th powers of the ratios, for `rows` rows. */
function powers(ratios: readonly number[], rows: number): number[][] {
  return Array.from({ length: rows }, (_, exponent) => ratios.map((ratio) => ratio ** exponent))
}

/** residual · Σ weight · (prediction - newest) / ratio over the older predictions, as terms. */
function differences(
  predictions: readonly Prediction[],
  newest: Float32Array,
  ratios: readonly number[],
  weights: readonly number[],
  residual: number,
): Term[] {
  return predictions.slice(1).flatMap(({ values }, i): Term[] => {
    const factor = (residual * at(weights, i)) / at(ratios, i)
    return [
      [factor, values],
      [-factor, newest],
    ]
  })
}

function readSettings(config: SchedulerConfig) {
  refuseField(config, 'thresholding', false)
  refuseField(config, 'solver_p', null)
  // Configs made for other solvers name theirs; diffusers takes bh2 for them.
  const named = choiceField(config, 'solver_type', ['bh1', 'bh2', 'midpoint', 'heun', 'logrho'], 'bh2')
  const solverOrder = numberField(config, 'solver_order', 2)
  if (!Number.isInteger(solverOrder) || solverOrder < 1 || solverOrder > 5) {
    throw invalidField('solver_order', solverOrder, 'a whole number from 1 to 5')
  }
  const uncorrected = config.disable_corrector ?? []
  if (!Array.isArray(uncorrected)) throw invalidField('disable_corrector', uncorrected, 'a list of step numbers')
  const rule: Rule = {
    solverType: named === 'bh1' ? 'bh1' : 'bh2',
    predictX0: booleanField(config, 'predict_x0', true),
  }
  return {
    rule,
    solverOrder,
    uncorrected: uncorrected as readonly unknown[],
    lowerOrderFinal: booleanField(config, 'lower_order_final', true),
  }
}
