import { LIMITS } from '../../daemon/protocol/limits.js'
import { PRECISION_CHOICES } from '../../daemon/protocol/precision.js'
import { parseDevices } from '../../daemon/workers/devices.js'
import { choice, list, number, numberWhere, text, toggle, toggleOrAuto, type SettingKind } from './setting-kinds.js'

/**
 * Everything that can be set once instead of being written at each command. A value is taken from the command's flag,
 * else from the environment, else from the configuration file, else it is the default.
 */
export interface Setting<T = unknown> extends SettingKind<T> {
  /** The environment variable. */
  readonly env: string
  readonly description: string
  readonly default?: T
  /** What holds where nothing is set and there is no `default`, in words. */
  readonly usual?: string
}

type Words = Omit<Setting, keyof SettingKind<unknown> | 'default'>

function setting<T>(kind: SettingKind<T>, words: Words & { readonly default?: T }): Setting<T> {
  return { ...kind, ...words }
}

const OF_THE_MODEL = 'what suits the model'
const names = (): undefined => undefined

/** All settings, by the name that they have in the configuration file: that of their flag, where there is one. */
export const SETTINGS = {
  model: setting(text('the name or the path of a model'), {
    env: 'SWIFTD_MODEL',
    description: 'Which model draws.',
    default: 'demo',
  }),
  steps: setting(number(LIMITS.numInferenceSteps), {
    env: 'SWIFTD_STEPS',
    description: 'Denoising steps.',
    usual: OF_THE_MODEL,
  }),
  'guidance-scale': setting(number(LIMITS.guidanceScale), {
    env: 'SWIFTD_GUIDANCE_SCALE',
    description: 'How strongly the image follows the prompt.',
    usual: OF_THE_MODEL,
  }),
  width: setting(number(LIMITS.width), {
    env: 'SWIFTD_WIDTH',
    description: 'Width of the image in pixels.',
    usual: OF_THE_MODEL,
  }),
  height: setting(number(LIMITS.height), {
    env: 'SWIFTD_HEIGHT',
    description: 'Height of the image in pixels.',
    usual: OF_THE_MODEL,
  }),
  scheduler: setting(text('the name of a sampler'), {
    env: 'SWIFTD_SCHEDULER',
    description: 'The sampler.',
    usual: "the model's own",
  }),
  'negative-prompt': setting(text('a text'), {
    env: 'SWIFTD_NEGATIVE_PROMPT',
    description: 'What images should not show.',
    usual: 'none',
  }),
  rng: setting(choice(['cpu', 'nv']), {
    env: 'SWIFTD_RNG',
    description: "Whose random numbers the noise has: PyTorch's on a CPU, or on an NVIDIA GPU.",
    usual: 'cpu',
  }),
  'prompt-syntax': setting(choice(['diffusers', 'a1111']), {
    env: 'SWIFTD_PROMPT_SYNTAX',
    description: 'Whether brackets in prompts are letters, or weigh words as in A1111.',
    usual: 'diffusers',
  }),
  'noise-convention': setting(choice(['diffusers', 'a1111']), {
    env: 'SWIFTD_NOISE_CONVENTION',
    description: 'Whose way to draw the noise of a batch.',
    usual: 'diffusers',
  }),
  'lora-bound': setting(
    numberWhere('0, a share of the steps below 1, or a whole number of steps up to 1000', isLoraBound),
    {
      env: 'SWIFTD_LORA_BOUND',
      description: 'How many first steps may run before the LoRAs are there; 0 waits for them.',
      usual: '0',
    },
  ),
  'latent-parallel': setting(toggleOrAuto(), {
    env: 'SWIFTD_LATENT_PARALLEL',
    description: 'Compute the two halves of guidance on two devices; auto: where that is predicted to be faster.',
    usual: 'false',
  }),
  'base-device': setting(text('the name of a device, such as cuda:0 or cpu:0'), {
    env: 'SWIFTD_BASE_DEVICE',
    description: 'The device of the base model.',
    usual: 'the first that is free',
  }),
  'second-device': setting(text('the name of a device, such as cuda:1 or cpu:1'), {
    env: 'SWIFTD_SECOND_DEVICE',
    description: 'The device of the second half of guidance.',
    usual: 'the next that is free',
  }),
  'text-device': setting(text('the name of a device, such as cpu:1'), {
    env: 'SWIFTD_TEXT_DEVICE',
    description: 'The device of the text encoders and the autoencoder.',
    usual: 'the base device',
  }),
  'controlnet-device': setting(list('names of devices, such as cpu:1,cpu:2', names), {
    env: 'SWIFTD_CONTROLNET_DEVICE',
    description: 'The devices of the ControlNets, in their order.',
    usual: 'those that are free',
  }),
  output: setting(text('the path of a file'), {
    env: 'SWIFTD_OUTPUT',
    description: 'Where images are written.',
    usual: 'a new file swiftd-SEED.png',
  }),
  devices: setting(list('devices, such as cuda:0,cuda:1 or cpu:0=2,cpu:1=2 with their threads', parseDevices), {
    env: 'SWIFTD_DEVICES',
    description: 'The devices of the daemon.',
    usual: 'the GPUs that CUDA can use, else cpu:0 with all cores',
  }),
  'base-devices': setting(list('names of devices, such as cpu:0', names), {
    env: 'SWIFTD_BASE_DEVICES',
    description: 'The devices of the daemon that run base models.',
    usual: 'all but those of controlnet-devices',
  }),
  'controlnet-devices': setting(list('names of devices, such as cpu:1', names), {
    env: 'SWIFTD_CONTROLNET_DEVICES',
    description: 'The devices of the daemon that are kept for ControlNets.',
    usual: 'none: any that is free runs them',
  }),
  precision: setting(choice(PRECISION_CHOICES), {
    env: 'SWIFTD_PRECISION',
    description:
      'What devices compute in; auto: on GPUs float16 where the GPU does it well, else mixed (weights in float16) or float32. CPUs compute in float32; mixed has them read float16 files as they are, for half the memory.',
    usual: 'auto',
  }),
  'lora-preload': setting(list('names of LoRAs', names), {
    env: 'SWIFTD_LORA_PRELOAD',
    description: 'LoRAs that the daemon reads when it starts.',
    usual: 'none',
  }),
  autostart: setting(toggle(), {
    env: 'SWIFTD_AUTOSTART',
    description: 'Whether commands that need the daemon start it.',
    default: true,
  }),
}

export type SettingKey = keyof typeof SETTINGS
export type SettingValue<K extends SettingKey> = (typeof SETTINGS)[K] extends Setting<infer T> ? T : never

export const SETTING_KEYS = Object.keys(SETTINGS) as SettingKey[]

function isLoraBound(value: number): boolean {
  return (value >= 0 && value < 1) || isWholeStep(value)
}

function isWholeStep(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= LIMITS.numInferenceSteps.max
}

/** A value as a person would write it. */
export function formatSetting(value: unknown): string {
  return Array.isArray(value) ? value.join(',') : String(value)
}
