import { z } from 'zod'
import { createScheduler } from '../../../src/engine/sampling/schedulers/index.js'
import type { Scheduler } from '../../../src/engine/sampling/scheduler.js'
import { createTorchCpuRandom } from '../../../src/engine/sampling/random/torch-cpu.js'
import type { ParityContext, ParityKind } from '../context.js'
import { measure, measureExact, toleranceSchema, type Measurement, type Tensor } from '../measure.js'

const caseSchema = z.looseObject({
  scheduler: z.looseObject({ class: z.string(), config: z.record(z.string(), z.unknown()) }),
  num_inference_steps: z.number().int(),
  init_noise_sigma: z.number(),
  stochastic: z.boolean(),
  eta: z.number().optional(),
  generator_seed: z.number().int().optional(),
  add_noise_timestep_index: z.number().int().optional(),
  tolerance: toleranceSchema,
})

const aboutSchema = z.looseObject({
  tolerance_timesteps: toleranceSchema,
  tolerance_sigmas: toleranceSchema,
  tolerance_added_noise: toleranceSchema,
})

/** A whole trajectory with the goldens' stand-in for a network, and what the scheduler says of itself. */
export const scheduler: ParityKind = (context) => {
  const golden = caseSchema.parse(context.case)
  const limits = aboutSchema.parse(context.family.about)
  const { class: name, config } = golden.scheduler
  const made = createScheduler({ class: name, config }, golden.num_inference_steps, { eta: golden.eta })
  const noise = context.input('noise')

  const measurements: Measurement[] = [
    measureExact('stochastic', flag(made.stochastic), flag(golden.stochastic)),
    ...measure('timesteps', limits.tolerance_timesteps, vector(made.timesteps), context.output('timesteps')),
    ...measure(
      'init_noise_sigma',
      limits.tolerance_sigmas,
      vector([made.initNoiseSigma]),
      vector([golden.init_noise_sigma]),
    ),
    ...measure(
      'trajectory',
      golden.tolerance,
      trajectory(made, noise, golden.generator_seed),
      context.output('trajectory'),
      {
        perSlice: true,
      },
    ),
  ]
  for (const expected of context.outputs('sigmas')) {
    measurements.push(...measure('sigmas', limits.tolerance_sigmas, vector(made.sigmas), expected))
  }
  const noisedAt = golden.add_noise_timestep_index
  if (noisedAt !== undefined) {
    const expected = context.output('added_noise')
    const noised = { shape: expected.shape, data: addNoise(context, made, noisedAt) }
    measurements.push(...measure('added_noise', limits.tolerance_added_noise, noised, expected))
  }
  return Promise.resolve({ measurements })
}

function trajectory(made: Scheduler, noise: Tensor, seed: number | undefined): Tensor {
  const random = seed === undefined ? undefined : createTorchCpuRandom(BigInt(seed))
  const count = noise.data.length
  const draw = () => {
    if (!random) throw new Error('the scheduler drew noise in a case without a generator')
    return random.normal(count)
  }
  let sample: Float32Array = Float32Array.from(noise.data, (value) => value * made.initNoiseSigma)
  const samples = made.timesteps.map((timestep, index) => {
    const offset = Math.sin(timestep / 100)
    const prediction = made.scaleModelInput(sample, index).map((value) => Math.tanh(0.7 * value + offset))
    sample = made.step(prediction, index, sample, draw)
    return sample
  })
  const data = new Float32Array(count * samples.length)
  samples.forEach((values, index) => data.set(values, index * count))
  return { shape: [samples.length, ...noise.shape], data }
}

function addNoise(context: ParityContext, made: Scheduler, index: number): Float32Array {
  const clean = Float32Array.from(context.input('clean').data)
  return made.addNoise(clean, Float32Array.from(context.input('noise').data), index)
}

function vector(values: readonly number[]): Tensor {
  return { shape: [values.length], data: Float64Array.from(values) }
}

function flag(value: boolean): Tensor {
  return vector([value ? 1 : 0])
}
