import { SwiftdError } from '../../errors.js'
import { at } from '../at.js'
import { clamp, combine } from '../linear.js'
import type { Scheduler, SchedulerConfig } from '../scheduler.js'
import { alphasCumprod } from './betas.js'
import { clipRange, invalidField, numberField, predictionType, refuseField, trainTimesteps } from './config.js'
import { originalFactors } from './prediction.js'
import { checkStepCount } from './spacing.js'
import { hasPureNoise, variancePreserving } from './variance-preserving.js'

/** The deviation of the data that the consistency model's boundary condition assumes. */
const SIGMA_DATA = 0.5

/** Latent consistency models: Luo et al. 2023 (arXiv 2310.04378), algorithm 3, and scheduling_lcm.py of diffusers. */
export function createLcm(config: SchedulerConfig, steps: number): Scheduler {
  refuseField(config, 'thresholding', false)
  const alphaBars = alphasCumprod(config, { start: 0.00085, end: 0.012, schedule: 'scaled_linear' })
  const timesteps = distilledTimesteps(config, steps)
  const type = predictionType(config)
  const range = clipRange(config, false)
  const timestepScaling = numberField(config, 'timestep_scaling', 10)
  if (type === 'epsilon' && hasPureNoise(alphaBars, timesteps)) {
    throw invalidField('prediction_type', type, '"v_prediction" where rescale_betas_zero_snr leaves no signal')
  }

  return {
    ...variancePreserving(alphaBars, timesteps),
    stochastic: true,
    step(modelOutput, index, sample, drawNoise) {
      const timestep = at(timesteps, index)
      const alphaBar = at(alphaBars, timestep)
      const x0 = originalFactors(type, Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar))
      const original = combine([x0.sample, sample], [x0.output, modelOutput])
      const scaled = timestep * timestepScaling
      const spread = scaled * scaled + SIGMA_DATA * SIGMA_DATA
      const denoised = combine(
        [scaled / Math.sqrt(spread), range === undefined ? original : clamp(original, range)],
        [(SIGMA_DATA * SIGMA_DATA) / spread, sample],
      )
      if (index === timesteps.length - 1) return denoised
      const nextAlphaBar = at(alphaBars, at(timesteps, index + 1))
      return combine([Math.sqrt(nextAlphaBar), denoised], [Math.sqrt(1 - nextAlphaBar), drawNoise()])
    },
  }
}

/** `steps` of the `original_inference_steps` timesteps that the model was distilled on, spread evenly. */
function distilledTimesteps(config: SchedulerConfig, steps: number): number[] {
  checkStepCount(config, steps)
  const original = numberField(config, 'original_inference_steps', 50)
  const count = trainTimesteps(config)
  if (!Number.isInteger(original) || original < 1 || original > count) {
    throw invalidField('original_inference_steps', original, `a whole number from 1 to ${count}`)
  }
  if (steps > original) {
    throw new SwiftdError(
      'INVALID_REQUEST',
      `LCM cannot do ${steps} steps: the model was distilled on ${original}. Ask for ${original} or fewer.`,
    )
  }
  const stride = Math.floor(count / original)
  const skip = original / steps
  return Array.from({ length: steps }, (_, i) => (original - Math.floor(i * skip)) * stride - 1)
}
