import { describe, expect, it } from 'vitest'
import { createTorchCpuRandom } from '../random/torch-cpu.js'
import type { Scheduler, SchedulerConfig } from '../scheduler.js'
import { createScheduler, SCHEDULER_CLASSES } from './index.js'

const BASE = {
  num_train_timesteps: 1000,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  clip_sample: false,
  skip_prk_steps: true,
  set_alpha_to_one: false,
  steps_offset: 1,
} as const
const COUNT = 24

function create(name: string, config: SchedulerConfig = {}, steps = 8): Scheduler {
  return createScheduler({ class: name, config: { ...BASE, ...config } }, steps)
}

function drawing(seed = 7n) {
  const random = createTorchCpuRandom(seed)
  return () => random.normal(COUNT)
}

/** A stand-in for a network that depends on the sample and on the timestep. */
function predict(sample: Float32Array, timestep: number): Float32Array {
  return sample.map((value) => Math.tanh(0.7 * value + Math.sin(timestep / 100)))
}

/** The sample after every call from `first` on. */
function run(scheduler: Scheduler, start: Float32Array, draw: () => Float32Array, first = 0): Float32Array[] {
  let sample = start
  return scheduler.timesteps.slice(first).map((timestep, i) => {
    const output = predict(scheduler.scaleModelInput(sample, first + i), timestep)
    sample = scheduler.step(output, first + i, sample, draw)
    return sample
  })
}

function startOf(scheduler: Scheduler): Float32Array {
  return drawing(1n)().map((value) => value * scheduler.initNoiseSigma)
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i])), 0)
}

describe('createScheduler', () => {
  it('names an unknown class and the known ones', () => {
    expect(() => createScheduler({ class: 'DDPMWuerstchenScheduler', config: {} }, 8)).toThrow(
      expect.objectContaining({
        code: 'INVALID_CONFIG',
        message: expect.stringMatching(/"DDPMWuerstchenScheduler".*DDIMScheduler.*UniPCMultistepScheduler/) as string,
      }),
    )
    expect(() => createScheduler({ class: 'constructor', config: {} }, 8)).toThrow(/no scheduler "constructor"/)
  })

  it.each(SCHEDULER_CLASSES)('refuses impossible numbers of steps: %s', (name) => {
    for (const steps of [0, -1, 2.5, NaN, 1001]) {
      expect(() => create(name, {}, steps), String(steps)).toThrow(
        expect.objectContaining({ code: 'INVALID_REQUEST', message: expect.stringContaining(String(steps)) as string }),
      )
    }
  })

  it.each(SCHEDULER_CLASSES)('does a single step and gives finite latents: %s', (name) => {
    const scheduler = create(name, { timestep_spacing: name === 'LCMScheduler' ? 'leading' : 'trailing' }, 1)
    const last = run(scheduler, startOf(scheduler), drawing()).at(-1)!
    expect(scheduler.timesteps).toHaveLength(1)
    expect(last.every(Number.isFinite)).toBe(true)
  })

  it.each([
    ['more steps than LCM was distilled on', 'LCMScheduler', {}, 51, 'INVALID_REQUEST', /51.*50/],
    ['too few steps for Runge-Kutta', 'PNDMScheduler', { skip_prk_steps: false }, 3, 'INVALID_REQUEST', /3 steps.*4/],
    ['a timestep beyond the table', 'DDIMScheduler', {}, 1000, 'INVALID_REQUEST', /timestep 1000/],
    ['steps that share a sigma', 'UniPCMultistepScheduler', {}, 1000, 'INVALID_REQUEST', /1000 steps/],
    [
      'an unknown beta schedule',
      'EulerDiscreteScheduler',
      { beta_schedule: 'sigmoid' },
      8,
      'INVALID_CONFIG',
      /"sigmoid".*squaredcos_cap_v2/,
    ],
    [
      'an unknown prediction type',
      'DDIMScheduler',
      { prediction_type: 'flow' },
      8,
      'INVALID_CONFIG',
      /"flow".*v_prediction/,
    ],
    [
      'an unknown spacing',
      'HeunDiscreteScheduler',
      { timestep_spacing: 'log' },
      8,
      'INVALID_CONFIG',
      /"log".*trailing/,
    ],
    ['thresholding', 'DEISMultistepScheduler', { thresholding: true }, 8, 'INVALID_CONFIG', /"thresholding": true/],
    [
      'text for a number',
      'LMSDiscreteScheduler',
      { beta_end: '0.012' },
      8,
      'INVALID_CONFIG',
      /"beta_end": "0.012".*number/,
    ],
    [
      'DPM-Solver down to no noise',
      'DPMSolverMultistepScheduler',
      { algorithm_type: 'dpmsolver' },
      8,
      'INVALID_CONFIG',
      /sigma_min/,
    ],
    [
      'a third order with noise',
      'DPMSolverMultistepScheduler',
      { algorithm_type: 'sde-dpmsolver++', solver_order: 3 },
      8,
      'INVALID_CONFIG',
      /"solver_order": 3/,
    ],
    [
      'epsilon where there is no signal',
      'DDIMScheduler',
      { rescale_betas_zero_snr: true, timestep_spacing: 'trailing' },
      8,
      'INVALID_CONFIG',
      /v_prediction/,
    ],
    [
      'too few training betas',
      'EulerDiscreteScheduler',
      { trained_betas: [0.1] },
      8,
      'INVALID_CONFIG',
      /trained_betas/,
    ],
  ] as const)('refuses %s', (_, name, config, steps, code, message) => {
    expect(() => create(name, config as unknown as SchedulerConfig, steps)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) as string }),
    )
  })

  it('refuses an eta outside of 0 to 1', () => {
    const description = { class: 'DDIMScheduler', config: BASE }
    expect(() => createScheduler(description, 8, { eta: 1.5 })).toThrow(/eta is 1.5/)
    expect(createScheduler(description, 8, { eta: 0 }).stochastic).toBe(false)
    expect(createScheduler(description, 8, { eta: 0.1 }).stochastic).toBe(true)
  })

  it('takes null in a config for a field that is left out', () => {
    const config = { trained_betas: null, timestep_spacing: null, variance_type: null } as unknown as SchedulerConfig
    const scheduler = create('DPMSolverMultistepScheduler', config)
    expect(scheduler.timesteps).toEqual(create('DPMSolverMultistepScheduler').timesteps)
  })
})

describe('every scheduler', () => {
  it.each(SCHEDULER_CLASSES)('keeps nothing of a model output that the caller reuses: %s', (name) => {
    const draws = drawing()
    const scheduler = create(name)
    const start = startOf(scheduler)
    const expected = run(create(name), start, drawing())
    const reused = new Float32Array(COUNT)
    let sample = start
    const actual = scheduler.timesteps.map((timestep, index) => {
      reused.set(predict(scheduler.scaleModelInput(sample, index), timestep))
      return (sample = scheduler.step(reused, index, sample, draws))
    })
    expect(actual).toEqual(expected)
  })

  it.each(SCHEDULER_CLASSES)('leaves its inputs as they are and returns new arrays: %s', (name) => {
    const scheduler = create(name)
    const sample = startOf(scheduler)
    const before = sample.slice()
    const output = predict(sample, 500)
    const next = scheduler.step(output, 0, sample, drawing())
    scheduler.addNoise(sample, output, 0)
    expect(sample).toEqual(before)
    expect(output).toEqual(predict(before, 500))
    expect(next).not.toBe(sample)
  })

  it.each(SCHEDULER_CLASSES)('draws noise if and only if it is stochastic: %s', (name) => {
    const scheduler = create(name)
    let draws = 0
    run(scheduler, startOf(scheduler), () => {
      draws++
      return new Float32Array(COUNT)
    })
    expect(draws > 0).toBe(scheduler.stochastic)
  })

  it.each(SCHEDULER_CLASSES)('can begin at every step, and its latents stay within bounds: %s', (name) => {
    const noiseless = () => new Float32Array(COUNT)
    const clean = drawing(3n)().map((value) => value / 4)
    const { timesteps, order } = create(name, {}, 20)
    for (let step = 1; step * order < timesteps.length; step += 4) {
      const scheduler = create(name, {}, 20)
      const start = scheduler.addNoise(clean, drawing(4n)(), step * order)
      const results = run(scheduler, start, noiseless, step * order)
      expect(results).toHaveLength(timesteps.length - step * order)
      expect(results.every((sample) => sample.every((value) => Math.abs(value) < 50))).toBe(true)
    }
  })

  // Methods without a memory beyond their step; the others start anew with their first order.
  it.each([
    'DDIMScheduler',
    'EulerDiscreteScheduler',
    'EulerAncestralDiscreteScheduler',
    'HeunDiscreteScheduler',
    'KDPM2DiscreteScheduler',
    'KDPM2AncestralDiscreteScheduler',
    'LCMScheduler',
  ])('continues from step 3 as a whole run does: %s', (name) => {
    const whole = create(name)
    const first = 3 * whole.order
    const noise = () => new Float32Array(COUNT).fill(0.25)
    const samples = run(whole, startOf(whole), noise)
    expect(run(create(name), samples[first - 1], noise, first)).toEqual(samples.slice(first))
  })

  it.each([
    ['LMSDiscreteScheduler', 'EulerDiscreteScheduler', {}],
    ['DPMSolverMultistepScheduler', 'DPMSolverMultistepScheduler', { solver_order: 1 }],
    ['DPMSolverSinglestepScheduler', 'DPMSolverSinglestepScheduler', { solver_order: 1 }],
    ['DEISMultistepScheduler', 'DEISMultistepScheduler', { solver_order: 1 }],
    ['UniPCMultistepScheduler', 'UniPCMultistepScheduler', { solver_order: 1 }],
  ])('takes a first-order step where it begins: %s', (name, reference, config) => {
    // LMS alone weighs its only derivative as the order at that place has it, so it begins at the start here.
    const index = name === 'LMSDiscreteScheduler' ? 0 : 3
    const sample = drawing(5n)()
    const output = predict(sample, 600)
    const actual = create(name).step(output, index, sample, drawing())
    const expected = create(reference, config).step(output, index, sample, drawing())
    expect(largestDifference(actual, expected)).toBeLessThan(1e-5)
  })

  it.each(['HeunDiscreteScheduler', 'KDPM2DiscreteScheduler', 'KDPM2AncestralDiscreteScheduler'])(
    'refuses to begin in the middle of a second-order step: %s',
    (name) => {
      const sample = drawing()()
      expect(() => create(name).step(sample, 3, sample, drawing())).toThrow(/Model call 3 is the second of its step/)
    },
  )
})

describe('addNoise', () => {
  const clean = new Float32Array(COUNT).fill(1)
  const none = new Float32Array(COUNT)

  it.each(SCHEDULER_CLASSES)('gives the level at which the model call expects its sample: %s', (name) => {
    const scheduler = create(name)
    for (const [index] of scheduler.timesteps.entries()) {
      const signal = scheduler.addNoise(clean, none, index)[0]
      const noise = scheduler.addNoise(none, clean, index)[0]
      expect(noise / signal / scheduler.sigmas[index]).toBeCloseTo(1, 5)
    }
  })

  it('keeps the variance for solvers that do not scale their input', () => {
    const scheduler = create('DPMSolverMultistepScheduler', { timestep_spacing: 'trailing' })
    const [signal, noise] = [scheduler.addNoise(clean, none, 3)[0], scheduler.addNoise(none, clean, 3)[0]]
    expect(signal ** 2 + noise ** 2).toBeCloseTo(1, 6)
  })
})

describe('schedules', () => {
  it.each([
    ['use_karras_sigmas', (sigma: number) => sigma ** (1 / 7)],
    ['use_exponential_sigmas', Math.log],
  ])('%s spaces sigmas evenly in its measure', (field, measure) => {
    const { sigmas } = create('EulerDiscreteScheduler', { [field]: true, timestep_spacing: 'linspace' }, 10)
    const spaced = sigmas.slice(0, 10).map(measure)
    const steps = spaced.slice(1).map((value, i) => value - spaced[i])
    for (const step of steps) expect(step / steps[0]).toBeCloseTo(1, 4)
    expect(sigmas[0]).toBeCloseTo(14.6146, 3)
    expect(sigmas[9]).toBeCloseTo(0.02917, 4)
  })

  it('begins at the last training timestep with trailing spacing and zero terminal SNR', () => {
    const config = {
      rescale_betas_zero_snr: true,
      timestep_spacing: 'trailing',
      prediction_type: 'v_prediction',
    } as const
    const scheduler = create('DDIMScheduler', config)
    expect(scheduler.timesteps[0]).toBe(999)
    const noise = drawing()()
    expect(scheduler.addNoise(new Float32Array(COUNT).fill(1), noise, 0)).toEqual(noise)
    expect(run(scheduler, noise, drawing()).at(-1)!.every(Number.isFinite)).toBe(true)
  })

  it.each([
    ['DPMSolverMultistepScheduler', { algorithm_type: 'dpmsolver++', solver_type: 'heun' }],
    ['DPMSolverMultistepScheduler', { algorithm_type: 'sde-dpmsolver++', use_lu_lambdas: true }],
    ['UniPCMultistepScheduler', { solver_order: 3 }],
    ['DEISMultistepScheduler', { solver_order: 3 }],
  ])('stays finite where a respaced schedule ends at its last sigma: %s %j', (name, config) => {
    const respaced = { use_karras_sigmas: !('use_lu_lambdas' in config), lower_order_final: false }
    const scheduler = create(name, { final_sigmas_type: 'sigma_min', ...respaced, ...config }, 20)
    expect(scheduler.sigmas.at(-1)! / scheduler.sigmas.at(-2)!).toBeCloseTo(1, 5)
    expect(run(scheduler, startOf(scheduler), drawing()).at(-1)!.every(Number.isFinite)).toBe(true)
  })

  it('takes trained betas instead of a formula', () => {
    const betas = Array.from({ length: 1000 }, (_, i) => 0.0001 + (i * (0.02 - 0.0001)) / 999)
    const trained = create('EulerDiscreteScheduler', { trained_betas: betas })
    const linear = create('EulerDiscreteScheduler', { beta_schedule: 'linear', beta_start: 0.0001, beta_end: 0.02 })
    expect(trained.sigmas[0] / linear.sigmas[0]).toBeCloseTo(1, 4)
  })

  it('leaves the noisiest timesteps out with lambda_min_clipped', () => {
    const clipped = create('DPMSolverMultistepScheduler', { lambda_min_clipped: -2 })
    expect(Math.max(...clipped.sigmas)).toBeLessThan(Math.exp(2))
    expect(Math.max(...clipped.sigmas)).toBeGreaterThan(Math.exp(1.9))
  })
})
