import { at } from '../at.js'
import { combine } from '../linear.js'
import type { Scheduler, SchedulerConfig } from '../scheduler.js'
import { alphasCumprod } from './betas.js'
import { invalidField, trainTimesteps } from './config.js'
import { checkDecreasing, respacedSigmas, respacing, timestepOfSigma, trainingSigmas, interpolate } from './sigmas.js'
import { checkStepCount, linspace, roundHalfEven, spacedTimesteps, trailing, type TimestepSpacing } from './spacing.js'

/**
 * What DPM-Solver, DEIS and UniPC have in common: they solve in λ = log(alpha/sigma), where a noisy sample is
 * `alpha · x0 + sigma · noise` with alpha² + sigma² = 1.
 */
export interface SolverSchedule {
  /** One per step, whole numbers. */
  readonly timesteps: readonly number[]
  /** sigma/alpha, one per step, and the schedule's end. */
  readonly sigmas: readonly number[]
  /** The same as noise levels. */
  readonly levels: readonly NoiseLevel[]
}

export interface NoiseLevel {
  readonly alpha: number
  readonly sigma: number
  /** Infinite without noise. */
  readonly lambda: number
}

/** Where the last step ends: without noise, at the training schedule's least noise, or where it began. */
export type FinalSigma = 'zero' | 'sigma_min' | 'last'

/** Timesteps and sigmas as in diffusers' multistep solvers. */
export function solverSchedule(
  config: SchedulerConfig,
  steps: number,
  spacing: TimestepSpacing,
  final: (respaced: boolean) => FinalSigma,
): SolverSchedule {
  checkStepCount(config, steps)
  const table = trainingSigmas(config)
  const kind = respacing(config)
  let timesteps = spaced(config, steps, spacing)
  let sigmas = timesteps.map((timestep) => interpolate(table, timestep))
  if (kind) {
    sigmas = respacedSigmas(config, kind, [at(table, table.length - 1), at(table, 0)], steps)
    timesteps = sigmas.map((sigma) => roundHalfEven(timestepOfSigma(sigma, table)))
  }
  checkDecreasing(sigmas)
  const ends = { zero: 0, sigma_min: at(table, 0), last: at(sigmas, sigmas.length - 1) }
  const rounded = [...sigmas, ends[final(kind !== undefined)]].map(Math.fround)
  return { timesteps, sigmas: rounded, levels: rounded.map(noiseLevel) }
}

/** Samples keep unit variance, so they go to the model as they are. */
export function solverScaling(
  schedule: SolverSchedule,
): Pick<Scheduler, 'timesteps' | 'sigmas' | 'initNoiseSigma' | 'order' | 'scaleModelInput' | 'addNoise'> {
  return {
    timesteps: schedule.timesteps,
    sigmas: schedule.sigmas,
    initNoiseSigma: 1,
    order: 1,
    scaleModelInput: (sample) => sample,
    addNoise(sample, noise, index) {
      const { alpha, sigma } = levelAt(schedule.levels, index)
      return combine([alpha, sample], [sigma, noise])
    },
  }
}

export function levelAt(levels: readonly NoiseLevel[], index: number): NoiseLevel {
  const level = levels[index]
  if (level === undefined) throw new RangeError(`Noise level ${index} is outside of ${levels.length}.`)
  return level
}

function noiseLevel(ratio: number): NoiseLevel {
  const alpha = 1 / Math.sqrt(ratio * ratio + 1)
  return { alpha, sigma: ratio * alpha, lambda: -Math.log(ratio) }
}

/** The end of the schedule counts as one more step, which is left out, except for `trailing`. */
function spaced(config: SchedulerConfig, steps: number, spacing: TimestepSpacing): number[] {
  const last = trainTimesteps(config) - clippedTimesteps(config)
  switch (spacing) {
    case 'linspace':
      return linspace(0, last - 1, steps + 1)
        .map(roundHalfEven)
        .reverse()
        .slice(0, -1)
    case 'leading':
      return spacedTimesteps({ ...config, num_train_timesteps: last }, steps + 1, 'leading').slice(0, -1)
    case 'trailing':
      return trailing(last, trainTimesteps(config) / steps)
  }
}

/** How many of the noisiest timesteps `lambda_min_clipped` leaves out. */
function clippedTimesteps(config: SchedulerConfig): number {
  const least = config.lambda_min_clipped ?? -Infinity
  if (typeof least !== 'number' || Number.isNaN(least)) throw invalidField('lambda_min_clipped', least, 'a number')
  const clipped = alphasCumprod(config).filter((alphaBar) => Math.log(alphaBar / (1 - alphaBar)) / 2 < least).length
  if (clipped < trainTimesteps(config) - 1) return clipped
  throw invalidField('lambda_min_clipped', least, 'a number that leaves timesteps to sample at')
}
