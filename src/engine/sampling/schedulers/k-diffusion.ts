import { at } from '../at.js'
import { combine } from '../linear.js'
import type { Scheduler, SchedulerConfig } from '../scheduler.js'
import type { BetaDefaults } from './betas.js'
import { checkDecreasing, interpolate, respacedSigmas, respacing, timestepOfSigma, trainingSigmas } from './sigmas.js'
import { checkStepCount, roundHalfEven, spacedTimesteps, timestepSpacing } from './spacing.js'

/**
 * What the schedulers have in common that come from k-diffusion (Euler, Heun, LMS, KDPM2 and the ancestral ones): latents
 * are `x0 + sigma · noise` and are scaled down for the model.
 */
export interface SigmaSchedule {
  /** One per step. */
  readonly timesteps: readonly number[]
  /** One per step and a final 0. */
  readonly sigmas: readonly number[]
  readonly initNoiseSigma: number
  /** Sigmas of all training timesteps. */
  readonly table: Float32Array
}

export interface SigmaScheduleOptions {
  /** What the scheduler's class in diffusers assumes of the training noise. */
  readonly betas?: BetaDefaults
  /** Rounds the timesteps of respaced sigmas. */
  readonly wholeTimesteps?: boolean
}

/**
 * Timesteps and sigmas of `steps` steps. Where diffusers has no `use_karras_sigmas` or `rescale_betas_zero_snr` for a
 * class (the ancestral Euler, for one), they mean what they mean for Euler.
 */
export function sigmaSchedule(
  config: SchedulerConfig,
  steps: number,
  options: SigmaScheduleOptions = {},
): SigmaSchedule {
  checkStepCount(config, steps)
  const table = trainingSigmas(config, options.betas)
  const spacing = timestepSpacing(config, 'linspace')
  let timesteps = spacedTimesteps(config, steps, spacing)
  let sigmas = timesteps.map((timestep) => interpolate(table, timestep))
  const kind = respacing(config)
  if (kind) {
    sigmas = respacedSigmas(config, kind, sigmas, steps)
    timesteps = sigmas.map((sigma) => timestepOfSigma(sigma, table))
    if (options.wholeTimesteps) timesteps = timesteps.map(roundHalfEven)
  }
  checkDecreasing(sigmas)
  const rounded = [...sigmas.map(Math.fround), 0]
  return { timesteps, sigmas: rounded, initNoiseSigma: initNoiseSigma(rounded, spacing), table }
}

/** Starting from the sample alone is exact only where the first timestep is the last one trained. */
function initNoiseSigma(sigmas: readonly number[], spacing: string): number {
  const max = Math.max(...sigmas)
  return spacing === 'leading' ? Math.sqrt(max * max + 1) : max
}

/** `scaleModelInput` and `addNoise` for a list of sigmas, one per model call. */
export function sigmaScaling(sigmas: readonly number[]): Pick<Scheduler, 'scaleModelInput' | 'addNoise'> {
  return {
    scaleModelInput: (sample, index) => combine([1 / Math.sqrt(at(sigmas, index) ** 2 + 1), sample]),
    addNoise: (sample, noise, index) => combine([1, sample], [at(sigmas, index), noise]),
  }
}

/** Splits a step's end into what the solver goes down to and the noise that brings it up again; both 0 at the end. */
export function ancestralSigmas(from: number, to: number): { up: number; down: number } {
  const up = Math.sqrt((to ** 2 * (from ** 2 - to ** 2)) / from ** 2)
  return { up, down: Math.sqrt(to ** 2 - up ** 2) }
}

/** Each value for both model calls of a second-order step; the first step's end closes the first pair. */
export function pairCalls(values: readonly number[]): number[] {
  return values.flatMap((value, i) => (i === 0 ? [value] : [value, value]))
}

/** For second-order methods, whose calls come in pairs. */
export function requireFirstCall<T>(state: T | undefined, index: number): T {
  if (state !== undefined) return state
  throw new RangeError(`Model call ${index} is the second of its step; start at an even one.`)
}
