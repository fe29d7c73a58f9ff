import { at } from '../at.js'
import { combine, type Term } from '../linear.js'
import type { Scheduler, SchedulerConfig } from '../scheduler.js'
import { predictionType } from './config.js'
import { sigmaScaling, sigmaSchedule } from './k-diffusion.js'
import { originalFactorsOfSigma } from './prediction.js'

const ORDER = 4

/** Linear multistep of order four: scheduling_lms_discrete.py of diffusers, after k-diffusion's sample_lms. */
export function createLms(config: SchedulerConfig, steps: number): Scheduler {
  const { timesteps, sigmas, initNoiseSigma } = sigmaSchedule(config, steps)
  const type = predictionType(config)
  /** Newest first. */
  let derivatives: Float32Array[] = []
  return {
    timesteps,
    sigmas,
    initNoiseSigma,
    order: 1,
    stochastic: false,
    ...sigmaScaling(sigmas),
    step(modelOutput, index, sample) {
      const sigma = at(sigmas, index)
      const x0 = originalFactorsOfSigma(type, sigma)
      const derivative = combine([(1 - x0.sample) / sigma, sample], [-x0.output / sigma, modelOutput])
      derivatives = [derivative, ...derivatives].slice(0, ORDER)
      // The order follows the place in the schedule. A run that began later has fewer derivatives than that; their
      // terms are left out, as in diffusers.
      const order = Math.min(index + 1, ORDER)
      const terms = derivatives.map((values, back): Term => [multistepWeight(sigmas, index, order, back), values])
      return combine([1, sample], ...terms)
    },
  }
}

/** The integral over the step of the Lagrange polynomial that is 1 at the derivative `back` calls ago. */
function multistepWeight(sigmas: readonly number[], index: number, order: number, back: number): number {
  const lagrange = (sigma: number) => {
    let product = 1
    for (let k = 0; k < order; k++) {
      if (k === back) continue
      product *= (sigma - at(sigmas, index - k)) / (at(sigmas, index - back) - at(sigmas, index - k))
    }
    return product
  }
  return integrateCubic(lagrange, at(sigmas, index), at(sigmas, index + 1))
}

/** Gauss-Legendre with two points: exact for polynomials up to the third degree. */
function integrateCubic(f: (x: number) => number, from: number, to: number): number {
  const centre = (from + to) / 2
  const half = (to - from) / 2
  const offset = half / Math.sqrt(3)
  return half * (f(centre - offset) + f(centre + offset))
}
