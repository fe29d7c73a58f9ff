import { SwiftdError } from '../../errors.js'
import type { SchedulerConfig } from '../scheduler.js'
import { choiceField, numberField, trainTimesteps } from './config.js'

export type TimestepSpacing = 'leading' | 'trailing' | 'linspace'

/** @throws SwiftdError INVALID_CONFIG if it is none of the three of Lin et al. 2023 (arXiv 2305.08891), table 2 */
export function timestepSpacing(config: SchedulerConfig, fallback: TimestepSpacing): TimestepSpacing {
  return choiceField(config, 'timestep_spacing', ['leading', 'trailing', 'linspace'], fallback)
}

/** @throws SwiftdError INVALID_REQUEST unless `steps` is a whole number from `least` to the number of training timesteps */
export function checkStepCount(config: SchedulerConfig, steps: number, least = 1): void {
  const most = trainTimesteps(config)
  if (Number.isInteger(steps) && steps >= least && steps <= most) return
  throw new SwiftdError(
    'INVALID_REQUEST',
    `This sampler cannot do ${steps} steps with this model; ask for a whole number from ${least} to ${most}.`,
  )
}

/**
 * The training timesteps that `steps` model calls are spread over, first to last call, as diffusers spaces them for
 * schedulers with fractional timesteps (Euler, Heun, LMS, …). `linspace` is not rounded.
 */
export function spacedTimesteps(config: SchedulerConfig, steps: number, spacing: TimestepSpacing): number[] {
  const count = trainTimesteps(config)
  switch (spacing) {
    case 'linspace':
      return linspace(0, count - 1, steps)
        .map(Math.fround)
        .reverse()
    case 'leading': {
      const ratio = Math.floor(count / steps)
      const offset = numberField(config, 'steps_offset', 0)
      return Array.from({ length: steps }, (_, i) => (steps - 1 - i) * ratio + offset)
    }
    case 'trailing':
      return trailing(count, count / steps)
  }
}

/**
 * The same for schedulers that look each timestep up in a table (DDIM, PNDM, …): whole numbers inside of it.
 * @throws SwiftdError INVALID_REQUEST if `steps_offset` moves the first one past the table's end
 */
export function wholeTimesteps(config: SchedulerConfig, steps: number, spacing: TimestepSpacing): number[] {
  const timesteps =
    spacing === 'linspace'
      ? linspace(0, trainTimesteps(config) - 1, steps)
          .map(roundHalfEven)
          .reverse()
      : spacedTimesteps(config, steps, spacing)
  checkInTable(config, timesteps, steps)
  return timesteps
}

export function checkInTable(config: SchedulerConfig, timesteps: readonly number[], steps: number): void {
  const count = trainTimesteps(config)
  const outside = timesteps.find((timestep) => !Number.isInteger(timestep) || timestep < 0 || timestep >= count)
  if (outside === undefined) return
  throw new SwiftdError(
    'INVALID_REQUEST',
    `${steps} steps would ask the model at timestep ${outside}, outside of 0 to ${count - 1}; ask for fewer steps.`,
  )
}

/** From the last training timestep downwards in strides of `ratio`, as numpy's arange and round give them. */
export function trailing(count: number, ratio: number): number[] {
  return Array.from({ length: Math.ceil(count / ratio) }, (_, i) => roundHalfEven(count - i * ratio) - 1)
}

/** numpy.linspace: `count` values from `start` to `end`; a single value is `start`. */
export function linspace(start: number, end: number, count: number): number[] {
  if (count === 1) return [start]
  const step = (end - start) / (count - 1)
  return Array.from({ length: count }, (_, i) => (i === count - 1 ? end : start + i * step))
}

/** numpy.round: halves go to the even neighbour. */
export function roundHalfEven(value: number): number {
  const rounded = Math.round(value)
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded
}
