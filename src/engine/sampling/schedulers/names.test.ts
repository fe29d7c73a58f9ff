import { describe, expect, it } from 'vitest'
import { createScheduler } from './index.js'
import { resolveSampler, SAMPLERS, SCHEDULE_TYPES } from './names.js'
import { editDistance } from './nearest.js'

describe('resolveSampler', () => {
  it.each([
    'DPM++ 2M Karras',
    'dpm++ 2m karras',
    'dpmpp_2m_karras',
    'k_dpmpp_2m_ka',
    'dpmpp-2m-karras',
    'DPM++2M Karras',
  ])('knows the spelling %s', (name) => {
    expect(resolveSampler(name)).toMatchObject({
      class: 'DPMSolverMultistepScheduler',
      config: { algorithm_type: 'dpmsolver++', solver_order: 2, use_karras_sigmas: true },
      samplerName: 'DPM++ 2M',
      scheduleType: 'Karras',
    })
  })

  it.each([
    ['Euler a', 'EulerAncestralDiscreteScheduler', 'Euler a'],
    ['euler_ancestral', 'EulerAncestralDiscreteScheduler', 'Euler a'],
    ['k_euler_a', 'EulerAncestralDiscreteScheduler', 'Euler a'],
    ['euler', 'EulerDiscreteScheduler', 'Euler'],
    ['dpm_2', 'KDPM2DiscreteScheduler', 'DPM2'],
    ['dpm_2_ancestral', 'KDPM2AncestralDiscreteScheduler', 'DPM2 a'],
    ['dpmpp_2m_sde_gpu', 'DPMSolverMultistepScheduler', 'DPM++ 2M SDE'],
    ['DPM++ SDE', 'DPMSolverSinglestepScheduler', 'DPM++ SDE'],
    ['uni_pc_bh2', 'UniPCMultistepScheduler', 'UniPC'],
    ['PLMS', 'PNDMScheduler', 'PLMS'],
    ['lcm', 'LCMScheduler', 'LCM'],
    ['HeunDiscreteScheduler', 'HeunDiscreteScheduler', 'Heun'],
  ])('takes %s for %s', (name, className, samplerName) => {
    expect(resolveSampler(name)).toMatchObject({ class: className, samplerName, scheduleType: 'Automatic' })
  })

  it('lets a given schedule type win over the suffix, and Automatic leave it', () => {
    expect(resolveSampler('DPM++ 2M Karras', 'Exponential').scheduleType).toBe('Exponential')
    expect(resolveSampler('DPM++ 2M Karras', 'Automatic').scheduleType).toBe('Karras')
    expect(resolveSampler('euler', 'sgm_uniform')).toMatchObject({
      config: { timestep_spacing: 'trailing', use_karras_sigmas: false },
      scheduleType: 'SGM Uniform',
    })
  })

  it('respaces as the sampler chooses where nothing is asked for', () => {
    expect(resolveSampler('DPM++ 2M').config).toMatchObject({ use_karras_sigmas: true })
    expect(resolveSampler('DPM++ 2M SDE').config).toMatchObject({ use_exponential_sigmas: true })
    expect(resolveSampler('Euler').config).toMatchObject({ use_karras_sigmas: false, use_exponential_sigmas: false })
    expect(resolveSampler('DPM++ 2M', 'Uniform').config).toMatchObject({ use_karras_sigmas: false })
  })

  it('leaves the config to the model for a class name', () => {
    expect(resolveSampler('DPMSolverMultistepScheduler').config).toEqual({})
    expect(resolveSampler('DPMSolverMultistepScheduler', 'karras').config).toMatchObject({ use_karras_sigmas: true })
  })

  it('ignores the schedule type for samplers with timesteps of their own', () => {
    expect(resolveSampler('DDIM', 'Karras')).toEqual({
      class: 'DDIMScheduler',
      config: { clip_sample: false },
      samplerName: 'DDIM',
      scheduleType: 'Automatic',
    })
  })

  it('suggests the nearest names for an unknown sampler and schedule type', () => {
    expect(() => resolveSampler('DPM++ 2N')).toThrow(
      expect.objectContaining({
        code: 'INVALID_REQUEST',
        message: expect.stringMatching(/^There is no sampler "DPM\+\+ 2N"; the nearest are DPM\+\+ 2M, /) as string,
      }),
    )
    expect(() => resolveSampler('eular')).toThrow(/the nearest are Euler/)
    expect(() => resolveSampler('euler', 'kerras')).toThrow(/no schedule type "kerras"; the nearest are karras/)
    expect(() => resolveSampler('')).toThrow(/no sampler ""/)
  })

  it('finds every name and alias, with every schedule type behind it, and each makes a scheduler', () => {
    const base = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear', steps_offset: 1 } as const
    for (const sampler of SAMPLERS) {
      for (const name of [sampler.name, ...sampler.aliases]) {
        expect(resolveSampler(name).samplerName, name).toBe(sampler.name)
        for (const { label } of SCHEDULE_TYPES) {
          const resolved = resolveSampler(`${name} ${label}`)
          expect(resolved.samplerName, `${name} ${label}`).toBe(sampler.name)
          const scheduler = createScheduler({ class: resolved.class, config: { ...base, ...resolved.config } }, 4)
          expect(scheduler.timesteps.length).toBeGreaterThanOrEqual(4)
        }
      }
    }
  })
})

describe('editDistance', () => {
  it.each([
    ['', 'abc', 3],
    ['kitten', 'sitting', 3],
    ['euler', 'euler', 0],
    ['lms', 'plms', 1],
  ])('of %j and %j is %d', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance)
  })
})
