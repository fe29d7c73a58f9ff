import { SwiftdError } from '../../errors.js'
import type { Scheduler, SchedulerConfig } from '../scheduler.js'
import type { SchedulerOptions } from './config.js'
import { createDdim } from './ddim.js'
import { createDeis } from './deis.js'
import { createDpmSolverMultistep } from './dpm-solver-multistep.js'
import { createDpmSolverSinglestep } from './dpm-solver-singlestep.js'
import { createEulerAncestral } from './euler-ancestral.js'
import { createEuler } from './euler.js'
import { createHeun } from './heun.js'
import { createKdpm2, createKdpm2Ancestral } from './kdpm2.js'
import { createLcm } from './lcm.js'
import { createLms } from './lms.js'
import { createPndm } from './pndm.js'
import { createUniPc } from './unipc.js'

export type { SchedulerOptions } from './config.js'

type CreateScheduler = (config: SchedulerConfig, steps: number, options: SchedulerOptions) => Scheduler

const CREATORS: Readonly<Record<string, CreateScheduler>> = {
  DDIMScheduler: createDdim,
  DEISMultistepScheduler: createDeis,
  DPMSolverMultistepScheduler: createDpmSolverMultistep,
  DPMSolverSinglestepScheduler: createDpmSolverSinglestep,
  EulerAncestralDiscreteScheduler: createEulerAncestral,
  EulerDiscreteScheduler: createEuler,
  HeunDiscreteScheduler: createHeun,
  KDPM2AncestralDiscreteScheduler: createKdpm2Ancestral,
  KDPM2DiscreteScheduler: createKdpm2,
  LCMScheduler: createLcm,
  LMSDiscreteScheduler: createLms,
  PNDMScheduler: createPndm,
  UniPCMultistepScheduler: createUniPc,
}

/** Class names of diffusers that `createScheduler` knows. */
export const SCHEDULER_CLASSES: readonly string[] = Object.keys(CREATORS)

/** A scheduler as diffusers describes one: a class and its config. */
export interface SchedulerDescription {
  readonly class: string
  readonly config: SchedulerConfig
}

/**
 * Makes the scheduler of one job, as diffusers 0.27.2 has it. Fields that the config leaves out take the class's defaults.
 * @param numInferenceSteps the steps asked for; second-order methods call the model more often (`Scheduler.timesteps`)
 * @throws SwiftdError INVALID_CONFIG for an unknown class or an unsupported config value
 * @throws SwiftdError INVALID_REQUEST for a number of steps or an eta that the scheduler cannot do
 */
export function createScheduler(
  description: SchedulerDescription,
  numInferenceSteps: number,
  options: SchedulerOptions = {},
): Scheduler {
  const { class: name, config } = description
  const create = Object.hasOwn(CREATORS, name) ? CREATORS[name] : undefined
  if (create) return create(config, numInferenceSteps, options)
  const known = SCHEDULER_CLASSES.join(', ')
  throw new SwiftdError('INVALID_CONFIG', `There is no scheduler "${name}"; swiftd has ${known}.`)
}
