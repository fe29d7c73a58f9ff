import { at } from '../at.js'
import { clamp, combine } from '../linear.js'
import type { Scheduler, SchedulerConfig } from '../scheduler.js'
import { clipRange, predictionType } from './config.js'
import { pairCalls, requireFirstCall, sigmaScaling, sigmaSchedule } from './k-diffusion.js'
import { originalFactorsOfSigma } from './prediction.js'

/**
 * Heun's method without churn: Karras et al. 2022 (arXiv 2206.00364), algorithm 1, and scheduling_heun_discrete.py of
 * diffusers. Even calls are at a step's start, odd ones at its end; the last step has only the first.
 */
export function createHeun(config: SchedulerConfig, steps: number): Scheduler {
  const schedule = sigmaSchedule(config, steps, { betas: { start: 0.00085, end: 0.012, schedule: 'linear' } })
  const timesteps = pairCalls(schedule.timesteps)
  const sigmas = [...pairCalls(schedule.sigmas.slice(0, -1)), 0]
  const type = predictionType(config)
  const range = clipRange(config, false)
  let first: { readonly sample: Float32Array; readonly derivative: Float32Array } | undefined

  const derivativeAt = (sigma: number, sample: Float32Array, modelOutput: Float32Array): Float32Array => {
    const x0 = originalFactorsOfSigma(type, sigma)
    if (range === undefined) return combine([(1 - x0.sample) / sigma, sample], [-x0.output / sigma, modelOutput])
    const original = clamp(combine([x0.sample, sample], [x0.output, modelOutput]), range)
    return combine([1 / sigma, sample], [-1 / sigma, original])
  }

  return {
    timesteps,
    sigmas,
    initNoiseSigma: schedule.initNoiseSigma,
    order: 2,
    stochastic: false,
    ...sigmaScaling(sigmas),
    step(modelOutput, index, sample) {
      const derivative = derivativeAt(at(sigmas, index), sample, modelOutput)
      if (index % 2 === 0) {
        first = { sample, derivative }
        return combine([1, sample], [at(sigmas, index + 1) - at(sigmas, index), derivative])
      }
      const start = requireFirstCall(first, index)
      first = undefined
      const half = (at(sigmas, index) - at(sigmas, index - 1)) / 2
      return combine([1, start.sample], [half, start.derivative], [half, derivative])
    },
  }
}
