import type { SchedulerDescription } from '../../engine/sampling/schedulers/index.js'
import { resolveSampler } from '../../engine/sampling/schedulers/names.js'
import type { Checkpoint } from '../../engine/weights/checkpoint.js'

export interface SchedulerChoice {
  readonly description: SchedulerDescription
  /** As A1111 names it. */
  readonly sampler: string
  readonly scheduleType: string
}

/**
 * The noise scheduler of a job: the one that was asked for, with the betas and the prediction type of the model's own;
 * or the model's own as it is.
 * @throws SwiftdError INVALID_REQUEST for a name that is not known
 */
export function chooseScheduler(name: string | undefined, { scheduler }: Checkpoint): SchedulerChoice {
  const { class: schedulerClass, config, samplerName, scheduleType } = resolveSampler(name ?? scheduler.class)
  return {
    description: { class: schedulerClass, config: { ...scheduler.config, ...config } },
    sampler: samplerName,
    scheduleType,
  }
}
