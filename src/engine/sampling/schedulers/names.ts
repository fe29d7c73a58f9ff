import { SwiftdError } from '../../errors.js'
import type { SchedulerConfig } from '../scheduler.js'
import { nearest } from './nearest.js'

/** What a sampler's name stands for. */
export interface ResolvedSampler {
  /** The scheduler's class in diffusers. */
  readonly class: string
  /** Fields that replace those of the model's own scheduler config. */
  readonly config: SchedulerConfig
  /** The name that stable-diffusion-webui shows and writes into pictures. */
  readonly samplerName: string
  /** Its schedule type, likewise; `Automatic` where the sampler chooses. */
  readonly scheduleType: string
}

export interface SamplerEntry {
  /** The name that stable-diffusion-webui shows; for samplers it lacks, one in its style. */
  readonly name: string
  readonly class: string
  /** Other spellings: stable-diffusion-webui's aliases, ComfyUI's and short names. Case and separators do not matter. */
  readonly aliases: readonly string[]
  readonly config: SchedulerConfig
  /** What `Automatic` means for it; undefined keeps the model's timesteps. */
  readonly automatic?: string
  /** True for samplers that keep to their own timesteps whatever the schedule type. */
  readonly fixedSchedule?: boolean
}

const MULTISTEP = {
  algorithm_type: 'dpmsolver++',
  solver_type: 'midpoint',
  solver_order: 2,
  final_sigmas_type: 'zero',
} as const
const MULTISTEP_SDE = { ...MULTISTEP, algorithm_type: 'sde-dpmsolver++' } as const

/**
 * Every sampler. The classes are those of the table in diffusers' docs/source/en/api/schedulers/overview.md, which takes
 * the singlestep solver for `DPM++ 2S a` and `DPM++ SDE`: close to them, but without their noise. What `Automatic` means
 * is that of stable-diffusion-webui 1.10 (modules/sd_samplers_kdiffusion.py).
 */
export const SAMPLERS: readonly SamplerEntry[] = [
  {
    name: 'Euler a',
    class: 'EulerAncestralDiscreteScheduler',
    aliases: ['euler_a', 'euler_ancestral', 'k_euler_a', 'k_euler_ancestral'],
    config: {},
  },
  { name: 'Euler', class: 'EulerDiscreteScheduler', aliases: ['euler', 'k_euler'], config: {} },
  { name: 'LMS', class: 'LMSDiscreteScheduler', aliases: ['lms', 'k_lms'], config: {} },
  { name: 'Heun', class: 'HeunDiscreteScheduler', aliases: ['heun', 'k_heun'], config: { clip_sample: false } },
  {
    name: 'DPM2',
    class: 'KDPM2DiscreteScheduler',
    aliases: ['dpm_2', 'k_dpm_2', 'kdpm2'],
    config: {},
    automatic: 'karras',
  },
  {
    name: 'DPM2 a',
    class: 'KDPM2AncestralDiscreteScheduler',
    aliases: ['dpm2_a', 'dpm_2_ancestral', 'k_dpm_2_a', 'kdpm2_ancestral'],
    config: {},
    automatic: 'karras',
  },
  {
    name: 'DPM++ 2M',
    class: 'DPMSolverMultistepScheduler',
    aliases: ['dpmpp_2m', 'k_dpmpp_2m'],
    config: MULTISTEP,
    automatic: 'karras',
  },
  {
    name: 'DPM++ 2M SDE',
    class: 'DPMSolverMultistepScheduler',
    aliases: ['dpmpp_2m_sde', 'dpmpp_2m_sde_gpu', 'k_dpmpp_2m_sde'],
    config: MULTISTEP_SDE,
    automatic: 'exponential',
  },
  {
    name: 'DPM++ 2M SDE Heun',
    class: 'DPMSolverMultistepScheduler',
    aliases: ['dpmpp_2m_sde_heun', 'dpmpp_2m_sde_heun_gpu', 'k_dpmpp_2m_sde_heun'],
    config: { ...MULTISTEP_SDE, solver_type: 'heun' },
    automatic: 'exponential',
  },
  {
    name: 'DPM++ 3M',
    class: 'DPMSolverMultistepScheduler',
    aliases: ['dpmpp_3m', 'k_dpmpp_3m'],
    config: { ...MULTISTEP, solver_order: 3 },
    automatic: 'karras',
  },
  {
    name: 'DPM++ 2S a',
    class: 'DPMSolverSinglestepScheduler',
    aliases: ['dpmpp_2s_a', 'dpmpp_2s', 'dpmpp_2s_ancestral', 'k_dpmpp_2s_a'],
    config: MULTISTEP,
    automatic: 'karras',
  },
  {
    name: 'DPM++ SDE',
    class: 'DPMSolverSinglestepScheduler',
    aliases: ['dpmpp_sde', 'dpmpp_sde_gpu', 'k_dpmpp_sde'],
    config: MULTISTEP,
    automatic: 'karras',
  },
  {
    name: 'UniPC',
    class: 'UniPCMultistepScheduler',
    aliases: ['unipc', 'uni_pc', 'uni_pc_bh2'],
    config: { solver_type: 'bh2', solver_order: 2 },
  },
  {
    name: 'DEIS',
    class: 'DEISMultistepScheduler',
    aliases: ['deis'],
    config: { algorithm_type: 'deis', solver_type: 'logrho', solver_order: 2 },
  },
  // Latents are not limited to -1..1, which DDIM's class would clip them to.
  { name: 'DDIM', class: 'DDIMScheduler', aliases: ['ddim'], config: { clip_sample: false }, fixedSchedule: true },
  {
    name: 'PLMS',
    class: 'PNDMScheduler',
    aliases: ['plms', 'pndm', 'k_plms'],
    config: { skip_prk_steps: true },
    fixedSchedule: true,
  },
  { name: 'LCM', class: 'LCMScheduler', aliases: ['lcm'], config: { clip_sample: false }, fixedSchedule: true },
]

export interface ScheduleType {
  readonly name: string
  readonly label: string
  readonly aliases: readonly string[]
  readonly config: SchedulerConfig
}

const NOT_RESPACED = { use_karras_sigmas: false, use_exponential_sigmas: false, use_lu_lambdas: false } as const

/** The schedule types of stable-diffusion-webui that the schedulers have, apart from `Automatic`. */
export const SCHEDULE_TYPES: readonly ScheduleType[] = [
  { name: 'uniform', label: 'Uniform', aliases: [], config: { timestep_spacing: 'linspace' } },
  { name: 'normal', label: 'Normal', aliases: [], config: { timestep_spacing: 'linspace' } },
  { name: 'karras', label: 'Karras', aliases: ['ka'], config: { use_karras_sigmas: true } },
  { name: 'exponential', label: 'Exponential', aliases: [], config: { use_exponential_sigmas: true } },
  // With the usual exponent of 1 it is the exponential one.
  { name: 'polyexponential', label: 'Polyexponential', aliases: [], config: { use_exponential_sigmas: true } },
  { name: 'sgm_uniform', label: 'SGM Uniform', aliases: [], config: { timestep_spacing: 'trailing' } },
  { name: 'simple', label: 'Simple', aliases: [], config: { timestep_spacing: 'trailing' } },
  { name: 'ddim', label: 'DDIM', aliases: ['ddim_uniform'], config: { timestep_spacing: 'leading' } },
]

/**
 * Resolves a sampler by any of its names: `DPM++ 2M`, `DPM++ 2M Karras`, `dpmpp_2m_karras`, `k_dpmpp_2m_ka`, … or a
 * scheduler class of diffusers, which takes the rest from the model's own config.
 * @param scheduleType one of SCHEDULE_TYPES; with `Automatic` or nothing, the name's suffix or the sampler decides.
 * DDIM, PLMS and LCM have timesteps of their own and ignore it, as in stable-diffusion-webui.
 * @throws SwiftdError INVALID_REQUEST for an unknown name, with the nearest known ones
 */
export function resolveSampler(name: string, scheduleType?: string): ResolvedSampler {
  const chosen = findScheduleType(scheduleType)
  const byClass = SAMPLERS.find((sampler) => sampler.class === name)
  if (byClass) {
    const config = chosen && !byClass.fixedSchedule ? { ...NOT_RESPACED, ...chosen.config } : {}
    return described(byClass, config, chosen)
  }
  const found = findSampler(name)
  if (!found) throw unknownName('sampler', name, SAMPLERS)
  const { sampler, suffix } = found
  const named = chosen ?? suffix
  const schedule = named ?? SCHEDULE_TYPES.find((type) => type.name === sampler.automatic)
  if (sampler.fixedSchedule) return described(sampler, sampler.config)
  return described(sampler, { ...sampler.config, ...NOT_RESPACED, ...schedule?.config }, named)
}

function described(sampler: SamplerEntry, config: SchedulerConfig, schedule?: ScheduleType): ResolvedSampler {
  const scheduleType = schedule && !sampler.fixedSchedule ? schedule.label : 'Automatic'
  return { class: sampler.class, config, samplerName: sampler.name, scheduleType }
}

/** The whole name first: `DPM++ 2M SDE Heun` ends like no schedule type, but other samplers' names may. */
function findSampler(name: string): { sampler: SamplerEntry; suffix?: ScheduleType } | undefined {
  const key = normalise(name)
  const whole = SAMPLERS.find((sampler) => keysOf(sampler).includes(key))
  if (whole) return { sampler: whole }
  for (const suffix of SCHEDULE_TYPES) {
    for (const ending of keysOf(suffix)) {
      if (!key.endsWith(ending)) continue
      const stem = key.slice(0, -ending.length)
      const sampler = SAMPLERS.find((entry) => keysOf(entry).includes(stem))
      if (sampler) return { sampler, suffix }
    }
  }
  return undefined
}

function findScheduleType(name: string | undefined): ScheduleType | undefined {
  if (name === undefined || normalise(name) === '' || normalise(name) === 'automatic') return undefined
  const found = SCHEDULE_TYPES.find((type) => keysOf(type).includes(normalise(name)))
  if (found) return found
  throw unknownName('schedule type', name, [{ name: 'automatic', aliases: [] }, ...SCHEDULE_TYPES])
}

interface Named {
  readonly name: string
  readonly aliases: readonly string[]
}

function keysOf({ name, aliases }: Named): string[] {
  return [name, ...aliases].map(normalise)
}

/** `DPM++ 2M`, `dpmpp_2m` and `dpm++2m` are the same name. */
function normalise(name: string): string {
  return name
    .toLowerCase()
    .replaceAll('+', 'p')
    .replaceAll(/[^a-z0-9]/g, '')
}

function unknownName(what: string, name: string, known: readonly Named[]): SwiftdError {
  const closest = nearest(normalise(name), known.flatMap(keysOf), known.length)
  const entries = closest.flatMap((key) => known.find((entry) => keysOf(entry).includes(key))?.name ?? [])
  const suggestions = [...new Set(entries)].slice(0, 3)
  return new SwiftdError(
    'INVALID_REQUEST',
    `There is no ${what} "${name}"; the nearest are ${suggestions.join(', ')}. Known: ${known.map((entry) => entry.name).join(', ')}.`,
  )
}
