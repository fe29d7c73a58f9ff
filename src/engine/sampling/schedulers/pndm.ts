import { at } from '../at.js'
import { combine, type Term } from '../linear.js'
import type { Scheduler, SchedulerConfig } from '../scheduler.js'
import { alphasCumprod } from './betas.js'
import { booleanField, choiceField, invalidField, trainTimesteps } from './config.js'
import { noiseFactors } from './prediction.js'
import { checkInTable, checkStepCount, timestepSpacing, wholeTimesteps } from './spacing.js'
import { hasPureNoise, variancePreserving } from './variance-preserving.js'

/** Steps that begin with four model calls each, before there are outputs enough for the multistep method. */
const RUNGE_KUTTA_STEPS = 3
const RUNGE_KUTTA_WEIGHTS = [1 / 6, 1 / 3, 1 / 3, 1 / 6]

/** Adams-Bashforth weights by the number of outputs at hand, newest first. */
const MULTISTEP_WEIGHTS = [
  [1],
  [3 / 2, -1 / 2],
  [23 / 12, -16 / 12, 5 / 12],
  [55 / 24, -59 / 24, 37 / 24, -9 / 24],
] as const

/**
 * PNDM: Liu et al. 2022 (arXiv 2202.09778), and scheduling_pndm.py of diffusers. With `skip_prk_steps` this is PLMS, whose
 * second call repeats the second timestep to correct the first step.
 */
export function createPndm(config: SchedulerConfig, steps: number): Scheduler {
  const alphaBars = alphasCumprod(config)
  const stride = Math.floor(trainTimesteps(config) / steps)
  const skipRungeKutta = booleanField(config, 'skip_prk_steps', false)
  const timesteps = pndmTimesteps(config, steps, stride, skipRungeKutta)
  if (hasPureNoise(alphaBars, timesteps)) {
    throw invalidField('rescale_betas_zero_snr', true, 'PNDM only without it; take DDIM for this model')
  }
  const rungeKuttaCalls = skipRungeKutta ? 0 : RUNGE_KUTTA_STEPS * 4
  const transfer = createTransfer(config, alphaBars)
  const outputs: Float32Array[] = []
  let stages: Term[] = []
  let base: Float32Array | undefined
  // Counted from the first call made, which need not be the schedule's first.
  let calls = 0

  const rungeKuttaStep = (modelOutput: Float32Array, timestep: number, sample: Float32Array): Float32Array => {
    const stage = calls % 4
    const from = at(timesteps, calls - stage)
    const to = timestep - (calls % 2 === 0 ? Math.floor(stride / 2) : 0)
    if (stage === 0) {
      outputs.push(modelOutput)
      base = sample
      stages = []
    }
    stages.push([at(RUNGE_KUTTA_WEIGHTS, stage), modelOutput])
    const slope = stage === 3 ? combine(...stages) : modelOutput
    return transfer(base ?? sample, from, to, slope)
  }

  const multistepStep = (modelOutput: Float32Array, timestep: number, sample: Float32Array): Float32Array => {
    if (calls === 1 && base) {
      // The second call looks at the end of the first step again: both outputs' mean redoes that step.
      const slope = combine([0.5, modelOutput], [0.5, outputs.at(-1) ?? modelOutput])
      return transfer(base, timestep + stride, timestep, slope)
    }
    outputs.push(modelOutput)
    if (calls === 0) base = sample
    const weights = MULTISTEP_WEIGHTS[Math.min(outputs.length, 4) - 1] ?? [1]
    const newestFirst = outputs.slice(-weights.length).reverse()
    const slope = combine(...newestFirst.map((output, i): Term => [at(weights, i), output]))
    return transfer(sample, timestep, timestep - stride, slope)
  }

  return {
    ...variancePreserving(alphaBars, timesteps),
    stochastic: false,
    step(modelOutput, index, sample) {
      const advance = calls < rungeKuttaCalls ? rungeKuttaStep : multistepStep
      // Outputs are kept as they came, so they are kept as copies.
      const next = advance(modelOutput.slice(), at(timesteps, index), sample)
      calls++
      outputs.splice(0, outputs.length - 4)
      return next
    },
  }
}

function pndmTimesteps(config: SchedulerConfig, steps: number, stride: number, skipRungeKutta: boolean): number[] {
  checkStepCount(config, steps, skipRungeKutta ? 1 : RUNGE_KUTTA_STEPS + 1)
  const spaced = wholeTimesteps(config, steps, timestepSpacing(config, 'leading'))
  if (skipRungeKutta) return steps === 1 ? spaced : [...spaced.slice(0, 2), ...spaced.slice(1)]
  const half = Math.floor(stride / 2)
  // Four calls a step: at its start, twice in its middle, and at its end, where the next step starts.
  const ladder = spaced.slice(0, RUNGE_KUTTA_STEPS).flatMap((timestep, i) => {
    const middle = at(spaced, i + 1) + half
    return [timestep, middle, middle, at(spaced, i + 1)]
  })
  const timesteps = [...ladder, ...spaced.slice(RUNGE_KUTTA_STEPS)]
  checkInTable(config, timesteps, steps)
  return timesteps
}

/** Eq. 9 of the paper: moves a sample from one timestep to another along a predicted noise. */
function createTransfer(config: SchedulerConfig, alphaBars: Float32Array) {
  const type = choiceField(config, 'prediction_type', ['epsilon', 'v_prediction'], 'epsilon')
  const finalAlphaBar = booleanField(config, 'set_alpha_to_one', false) ? 1 : at(alphaBars, 0)
  return (sample: Float32Array, from: number, to: number, modelOutput: Float32Array): Float32Array => {
    const start = at(alphaBars, from)
    const end = to >= 0 ? at(alphaBars, to) : finalAlphaBar
    const noise = noiseFactors(type, Math.sqrt(start), Math.sqrt(1 - start))
    const divisor = start * Math.sqrt(1 - end) + Math.sqrt(start * (1 - start) * end)
    const noiseFactor = -(end - start) / divisor
    return combine(
      [Math.sqrt(end / start) + noiseFactor * noise.sample, sample],
      [noiseFactor * noise.output, modelOutput],
    )
  }
}
