import { combine, type Term } from '../linear.js'
import type { NoiseLevel } from './solver-schedule.js'

/** The `++` ones integrate predicted clean latents, the others predicted noise; the `sde` ones add noise. */
export type DpmAlgorithm = 'dpmsolver++' | 'dpmsolver' | 'sde-dpmsolver++' | 'sde-dpmsolver'
export type DpmSolverType = 'midpoint' | 'heun'

/**
 * One step from `from` to `to` as factors: of the sample, of the prediction's value D0, slope D1 and curvature D2 (all
 * in λ), and of new noise. Lu et al. 2022, DPM-Solver (arXiv 2206.00927) and DPM-Solver++ (arXiv 2211.01095), whose
 * appendix has the SDE forms.
 */
interface StepFactors {
  readonly sample: number
  readonly value: number
  /** For the slope, by solver type. */
  readonly midpoint: number
  readonly heun: number
  readonly curvature: number
  readonly noise: number
}

function stepFactors(algorithm: DpmAlgorithm, from: NoiseLevel, to: NoiseLevel): StepFactors {
  const h = to.lambda - from.lambda
  const decay = Math.exp(-h)
  const growth = Math.exp(h)
  switch (algorithm) {
    case 'dpmsolver++': {
      const value = to.alpha * (1 - decay)
      const heun = to.alpha * ((decay - 1) / h + 1)
      const curvature = -to.alpha * ((decay - 1 + h) / (h * h) - 0.5)
      return { sample: to.sigma / from.sigma, value, midpoint: value / 2, heun, curvature, noise: 0 }
    }
    case 'dpmsolver': {
      const value = -to.sigma * (growth - 1)
      const heun = -to.sigma * ((growth - 1) / h - 1)
      const curvature = -to.sigma * ((growth - 1 - h) / (h * h) - 0.5)
      return { sample: to.alpha / from.alpha, value, midpoint: value / 2, heun, curvature, noise: 0 }
    }
    case 'sde-dpmsolver++': {
      const value = to.alpha * (1 - decay * decay)
      const heun = to.alpha * ((1 - decay * decay) / (-2 * h) + 1)
      const noise = to.sigma * Math.sqrt(Math.max(1 - decay * decay, 0))
      return { sample: (to.sigma / from.sigma) * decay, value, midpoint: value / 2, heun, curvature: NaN, noise }
    }
    case 'sde-dpmsolver': {
      const value = -2 * to.sigma * (growth - 1)
      const heun = -2 * to.sigma * ((growth - 1) / h - 1)
      const noise = to.sigma * Math.sqrt(Math.max(growth * growth - 1, 0))
      return { sample: to.alpha / from.alpha, value, midpoint: value / 2, heun, curvature: NaN, noise }
    }
  }
}

/** A prediction and the noise level that it was made at. */
export interface Prediction {
  readonly level: NoiseLevel
  readonly values: Float32Array
}

export interface UpdateRule {
  readonly algorithm: DpmAlgorithm
  readonly solverType: DpmSolverType
}

/**
 * The multistep update: from the newest prediction's level to `to`.
 * @param predictions newest first; as many as the order, one to three
 * @param drawNoise needed by the SDE algorithms
 */
export function multistepUpdate(
  { algorithm, solverType }: UpdateRule,
  predictions: readonly Prediction[],
  to: NoiseLevel,
  sample: Float32Array,
  noise?: Float32Array,
): Float32Array {
  const [newest, second, third] = predictions
  if (!newest) throw new RangeError('A multistep update needs a prediction.')
  const factors = stepFactors(algorithm, newest.level, to)
  const terms: Term[] = [[factors.sample, sample]]
  if (noise) terms.push([factors.noise, noise])
  const h = to.lambda - newest.level.lambda
  // A respaced schedule may end where its last step begins; then there is no slope to follow.
  if (!second || h === 0) return combine([factors.value, newest.values], ...terms)

  const r0 = (newest.level.lambda - second.level.lambda) / h
  if (!third) {
    const slope = factors[solverType] / r0
    return combine([factors.value + slope, newest.values], [-slope, second.values], ...terms)
  }

  const r1 = (second.level.lambda - third.level.lambda) / h
  // D1 = d + r0/(r0+r1) · (d - e) and D2 = (d - e)/(r0+r1), where d and e are the newer and the older divided difference.
  const bend = (factors.heun * r0 + factors.curvature) / (r0 + r1)
  const newer = (factors.heun + bend) / r0
  const older = -bend / r1
  return combine(
    [factors.value + newer, newest.values],
    [older - newer, second.values],
    [-older, third.values],
    ...terms,
  )
}

/**
 * The singlestep update: from the oldest prediction's level to `to`, through the levels of the others.
 * @param predictions newest first; as many as the order, one to three
 * @param sample the sample at the oldest prediction's level
 */
export function singlestepUpdate(
  { algorithm, solverType }: UpdateRule,
  predictions: readonly Prediction[],
  to: NoiseLevel,
  sample: Float32Array,
): Float32Array {
  const [newest, second, third] = predictions
  const oldest = predictions.at(-1)
  if (!newest || !oldest) throw new RangeError('A singlestep update needs a prediction.')
  const factors = stepFactors(algorithm, oldest.level, to)
  const start: Term = [factors.sample, sample]
  const h = to.lambda - oldest.level.lambda
  const fraction = (prediction: Prediction) => (prediction.level.lambda - oldest.level.lambda) / h
  if (!second) return combine([factors.value, newest.values], start)

  const r0 = fraction(newest)
  if (!third) {
    const slope = factors[solverType] / r0
    return combine([slope, newest.values], [factors.value - slope, oldest.values], start)
  }

  if (solverType === 'midpoint') {
    const slope = factors.heun / r0
    return combine([slope, newest.values], [factors.value - slope, oldest.values], start)
  }
  const r1 = fraction(second)
  // With d0 = (newest - oldest)/r0 and d1 = (second - oldest)/r1: D1 = (r0·d1 - r1·d0)/(r0-r1), D2 = 2(d0 - d1)/(r0-r1).
  const far = (2 * factors.curvature - factors.heun * r1) / (r0 - r1) / r0
  const near = (factors.heun * r0 - 2 * factors.curvature) / (r0 - r1) / r1
  return combine([far, newest.values], [near, second.values], [factors.value - far - near, oldest.values], start)
}
