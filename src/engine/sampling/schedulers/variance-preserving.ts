import { at } from '../at.js'
import { combine } from '../linear.js'
import type { Scheduler } from '../scheduler.js'

/**
 * What the schedulers have in common that read ᾱ from the training table (DDIM, PNDM, LCM): latents are
 * `√ᾱ · x0 + √(1-ᾱ) · noise` and go to the model as they are.
 */
export function variancePreserving(
  alphaBars: Float32Array,
  timesteps: readonly number[],
): Pick<Scheduler, 'timesteps' | 'sigmas' | 'initNoiseSigma' | 'order' | 'scaleModelInput' | 'addNoise'> {
  return {
    timesteps,
    sigmas: timesteps.map((timestep) => {
      const alphaBar = at(alphaBars, timestep)
      return Math.sqrt((1 - alphaBar) / alphaBar)
    }),
    initNoiseSigma: 1,
    order: 1,
    scaleModelInput: (sample) => sample,
    addNoise(sample, noise, index) {
      const alphaBar = at(alphaBars, at(timesteps, index))
      return combine([Math.sqrt(alphaBar), sample], [Math.sqrt(1 - alphaBar), noise])
    },
  }
}

/** True where a timestep is pure noise (zero terminal SNR), which an epsilon prediction says nothing about. */
export function hasPureNoise(alphaBars: Float32Array, timesteps: readonly number[]): boolean {
  return timesteps.some((timestep) => at(alphaBars, timestep) === 0)
}
