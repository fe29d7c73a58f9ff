import { at } from '../at.js'
import { combine } from '../linear.js'
import type { Scheduler, SchedulerConfig } from '../scheduler.js'
import { predictionType, refuseField } from './config.js'
import { sigmaScaling, sigmaSchedule } from './k-diffusion.js'
import { originalFactorsOfSigma } from './prediction.js'

/**
 * Euler's method without churn: Karras et al. 2022 (arXiv 2206.00364), algorithm 2 with S_churn = 0, and
 * scheduling_euler_discrete.py of diffusers.
 */
export function createEuler(config: SchedulerConfig, steps: number): Scheduler {
  refuseField(config, 'interpolation_type', 'linear')
  refuseField(config, 'timestep_type', 'discrete')
  const { timesteps, sigmas, initNoiseSigma } = sigmaSchedule(config, steps)
  const type = predictionType(config)
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
      // The derivative is (sample - x0) / sigma.
      const stride = (at(sigmas, index + 1) - sigma) / sigma
      return combine([1 + stride * (1 - x0.sample), sample], [-stride * x0.output, modelOutput])
    },
  }
}
