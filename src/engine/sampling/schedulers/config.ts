import { SwiftdError } from '../../errors.js'
import type { SchedulerConfig } from '../scheduler.js'

/** What a job chooses beside the config. */
export interface SchedulerOptions {
  /** DDIM's η: 0 is deterministic, 1 draws as much noise as DDPM. */
  readonly eta?: number
}

/** The class's default where the config leaves a field out or has null, as in diffusers. */
export function numberField(config: SchedulerConfig, field: string, fallback: number): number {
  const value = config[field] ?? fallback
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw invalidField(field, value, 'a number')
}

export function optionalNumberField(config: SchedulerConfig, field: string): number | undefined {
  return (config[field] ?? undefined) === undefined ? undefined : numberField(config, field, 0)
}

export function booleanField(config: SchedulerConfig, field: string, fallback: boolean): boolean {
  const value = config[field] ?? fallback
  if (typeof value === 'boolean') return value
  throw invalidField(field, value, 'true or false')
}

export function choiceField<T extends string>(
  config: SchedulerConfig,
  field: string,
  choices: readonly T[],
  fallback: NoInfer<T>,
): T {
  const value = config[field] ?? fallback
  const choice = choices.find((known) => known === value)
  if (choice !== undefined) return choice
  throw invalidField(field, value, `one of ${choices.join(', ')}`)
}

export type PredictionType = 'epsilon' | 'v_prediction' | 'sample'

export function predictionType(config: SchedulerConfig): PredictionType {
  return choiceField(config, 'prediction_type', ['epsilon', 'v_prediction', 'sample'], 'epsilon')
}

/** How many timesteps the model was trained with. */
export function trainTimesteps(config: SchedulerConfig): number {
  const count = numberField(config, 'num_train_timesteps', 1000)
  if (Number.isInteger(count) && count >= 2) return count
  throw invalidField('num_train_timesteps', count, 'a whole number of at least 2')
}

/** The largest magnitude of predicted clean latents, or undefined where they are not clipped. */
export function clipRange(config: SchedulerConfig, clipByDefault: boolean): number | undefined {
  return booleanField(config, 'clip_sample', clipByDefault) ? numberField(config, 'clip_sample_range', 1) : undefined
}

/** For fields that change the result and that swiftd has no implementation of. */
export function refuseField(config: SchedulerConfig, field: string, unless: unknown): void {
  const value = config[field] ?? unless
  if (value !== unless) throw invalidField(field, value, JSON.stringify(unless))
}

export function invalidField(field: string, value: unknown, supported: string): SwiftdError {
  const shown = JSON.stringify(value) ?? String(value)
  return new SwiftdError(
    'INVALID_CONFIG',
    `The scheduler config has "${field}": ${shown}; swiftd supports ${supported}.`,
  )
}
