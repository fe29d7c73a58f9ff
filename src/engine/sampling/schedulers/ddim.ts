import { SwiftdError } from '../../errors.js'
import { at } from '../at.js'
import { clamp, combine } from '../linear.js'
import type { Scheduler, SchedulerConfig } from '../scheduler.js'
import { alphasCumprod } from './betas.js'
import { booleanField, clipRange, invalidField, predictionType, refuseField, trainTimesteps } from './config.js'
import type { SchedulerOptions } from './config.js'
import { noiseFactors, originalFactors } from './prediction.js'
import { checkStepCount, timestepSpacing, wholeTimesteps } from './spacing.js'
import { hasPureNoise, variancePreserving } from './variance-preserving.js'

/** DDIM: Song et al. 2020 (arXiv 2010.02502), eq. 12 and 16, and scheduling_ddim.py of diffusers. */
export function createDdim(config: SchedulerConfig, steps: number, options: SchedulerOptions): Scheduler {
  refuseField(config, 'thresholding', false)
  checkStepCount(config, steps)
  const eta = readEta(options)
  const alphaBars = alphasCumprod(config)
  const timesteps = wholeTimesteps(config, steps, timestepSpacing(config, 'leading'))
  const stride = Math.floor(trainTimesteps(config) / steps)
  const finalAlphaBar = booleanField(config, 'set_alpha_to_one', true) ? 1 : at(alphaBars, 0)
  const type = predictionType(config)
  const range = clipRange(config, true)
  if (type === 'epsilon' && hasPureNoise(alphaBars, timesteps)) {
    throw invalidField('prediction_type', type, '"v_prediction" where rescale_betas_zero_snr leaves no signal')
  }

  return {
    ...variancePreserving(alphaBars, timesteps),
    stochastic: eta > 0,
    step(modelOutput, index, sample, drawNoise) {
      const timestep = at(timesteps, index)
      const alphaBar = at(alphaBars, timestep)
      const nextAlphaBar = timestep >= stride ? at(alphaBars, timestep - stride) : finalAlphaBar
      const [alpha, sigma] = [Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar)]
      const x0 = originalFactors(type, alpha, sigma)
      const noise = noiseFactors(type, alpha, sigma)
      const original = combine([x0.sample, sample], [x0.output, modelOutput])

      const variance = ((1 - nextAlphaBar) / (1 - alphaBar)) * (1 - alphaBar / nextAlphaBar)
      const deviation = eta * Math.sqrt(variance)
      const direction = Math.sqrt(1 - nextAlphaBar - deviation * deviation)
      const next = combine(
        [Math.sqrt(nextAlphaBar), range === undefined ? original : clamp(original, range)],
        [direction * noise.sample, sample],
        [direction * noise.output, modelOutput],
      )
      return eta > 0 ? combine([1, next], [deviation, drawNoise()]) : next
    },
  }
}

function readEta({ eta = 0 }: SchedulerOptions): number {
  if (eta >= 0 && eta <= 1) return eta
  throw new SwiftdError('INVALID_REQUEST', `eta is ${eta}; it must be from 0 (no noise) to 1.`)
}
