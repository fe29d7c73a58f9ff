import { at } from '../at.js'
import { combine } from '../linear.js'
import type { Scheduler, SchedulerConfig } from '../scheduler.js'
import { predictionType } from './config.js'
import { ancestralSigmas, pairCalls, requireFirstCall, sigmaScaling, sigmaSchedule } from './k-diffusion.js'
import { originalFactorsOfSigma } from './prediction.js'
import { timestepOfSigma } from './sigmas.js'

/**
 * DPM-Solver-2 in k-diffusion's form: Karras et al. 2022 (arXiv 2206.00364), and scheduling_k_dpm_2_discrete.py of
 * diffusers. Each step calls the model at its start and at its middle (in log sigma); the last one only at its start.
 */
export function createKdpm2(config: SchedulerConfig, steps: number): Scheduler {
  return createMidpointSolver(config, steps, false)
}

/** The same with fresh noise after every step: scheduling_k_dpm_2_ancestral_discrete.py of diffusers. */
export function createKdpm2Ancestral(config: SchedulerConfig, steps: number): Scheduler {
  return createMidpointSolver(config, steps, true)
}

function createMidpointSolver(config: SchedulerConfig, steps: number, ancestral: boolean): Scheduler {
  const betas = { start: 0.00085, end: 0.012, schedule: 'linear' } as const
  const schedule = sigmaSchedule(config, steps, { betas, wholeTimesteps: true })
  const plan = schedule.timesteps.map((_, i) => planStep(at(schedule.sigmas, i), at(schedule.sigmas, i + 1), ancestral))
  const timesteps = schedule.timesteps.flatMap((timestep, i) =>
    i === steps - 1 ? [timestep] : [timestep, timestepOfSigma(stepOf(plan, i).middle, schedule.table)],
  )
  // diffusers lists a sigma for the end of the last step, and again for its second call, which is never made.
  const sigmas = [...pairCalls(schedule.sigmas), 0]
  const type = predictionType(config)
  let start: Float32Array | undefined

  return {
    timesteps,
    sigmas,
    initNoiseSigma: schedule.initNoiseSigma,
    order: 2,
    stochastic: ancestral,
    addNoise: sigmaScaling(sigmas).addNoise,
    scaleModelInput(sample, index) {
      const step = stepOf(plan, index >> 1)
      const sigma = index % 2 === 0 ? step.from : step.middle
      return combine([1 / Math.sqrt(sigma * sigma + 1), sample])
    },
    step(modelOutput, index, sample, drawNoise) {
      const { from, middle, down, up } = stepOf(plan, index >> 1)
      const isFirst = index % 2 === 0
      // Drawn at both calls and used at the second, as in diffusers.
      const noise = ancestral ? drawNoise() : sample
      const sigma = isFirst ? from : middle
      const x0 = originalFactorsOfSigma(type, sigma)
      const stride = ((isFirst ? middle : down) - from) / sigma
      const slope = [
        [stride * (1 - x0.sample), sample],
        [-stride * x0.output, modelOutput],
      ] as const
      if (isFirst) {
        start = sample
        return combine([1, sample], ...slope)
      }
      const base = requireFirstCall(start, index)
      start = undefined
      return combine([1, base], ...slope, [up, noise])
    },
  }
}

interface PlannedStep {
  readonly from: number
  readonly middle: number
  /** Where the solver goes, before `up` of new noise. */
  readonly down: number
  readonly up: number
}

/** The last step, down to 0, has its middle at 0 too: it is a single Euler step. */
function planStep(from: number, to: number, ancestral: boolean): PlannedStep {
  const { up, down } = ancestral ? ancestralSigmas(from, to) : { up: 0, down: to }
  return { from, middle: Math.fround(Math.sqrt(from * down)), down, up }
}

function stepOf(plan: readonly PlannedStep[], index: number): PlannedStep {
  const step = plan[index]
  if (step === undefined) throw new RangeError(`Step ${index} is outside of ${plan.length} steps.`)
  return step
}
