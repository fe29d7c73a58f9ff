import { at } from '../at.js'
import { combine } from '../linear.js'
import type { Scheduler, SchedulerConfig } from '../scheduler.js'
import { predictionType } from './config.js'
import { ancestralSigmas, sigmaScaling, sigmaSchedule } from './k-diffusion.js'
import { originalFactorsOfSigma } from './prediction.js'

/** Euler with fresh noise after every step: scheduling_euler_ancestral_discrete.py of diffusers. */
export function createEulerAncestral(config: SchedulerConfig, steps: number): Scheduler {
  const { timesteps, sigmas, initNoiseSigma } = sigmaSchedule(config, steps)
  const type = predictionType(config)
  return {
    timesteps,
    sigmas,
    initNoiseSigma,
    order: 1,
    stochastic: true,
    ...sigmaScaling(sigmas),
    step(modelOutput, index, sample, drawNoise) {
      const sigma = at(sigmas, index)
      const { up, down } = ancestralSigmas(sigma, at(sigmas, index + 1))
      const x0 = originalFactorsOfSigma(type, sigma)
      const stride = (down - sigma) / sigma
      return combine(
        [1 + stride * (1 - x0.sample), sample],
        [-stride * x0.output, modelOutput],
        // Drawn after the last step too, where its factor is 0, so that later draws match those of diffusers.
        [up, drawNoise()],
      )
    },
  }
}
