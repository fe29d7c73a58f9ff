import { Flags } from '@oclif/core'
import { LIMITS } from '../../daemon/protocol/limits.js'
import { EMPHASES, GENERATORS, NOISE_CONVENTIONS, PROMPT_SYNTAXES } from '../../daemon/protocol/words.js'
import { numberFlag } from './flags.js'
import { settingFlag } from './setting-values.js'

/** How the prompts are read. */
export const PROMPT_FLAGS = {
  'negative-prompt': Flags.string({
    description: 'What the image should not show.',
    ...settingFlag('negative-prompt'),
    helpValue: 'TEXT',
    helpGroup: 'PROMPT',
  }),
  'prompt-2': Flags.string({
    description: "What SDXL's second text encoder reads. By default the prompt.",
    env: 'SWIFTD_PROMPT_2',
    helpValue: 'TEXT',
    helpGroup: 'PROMPT',
  }),
  'negative-prompt-2': Flags.string({
    description: "What SDXL's second text encoder reads as the negative prompt. By default the negative prompt.",
    env: 'SWIFTD_NEGATIVE_PROMPT_2',
    helpValue: 'TEXT',
    helpGroup: 'PROMPT',
  }),
  'prompt-syntax': Flags.option({
    description:
      'diffusers: brackets are text. a1111: (word:1.2), [from:to:0.4], [a|b], BREAK, and prompts of any length.',
    ...settingFlag('prompt-syntax'),
    options: PROMPT_SYNTAXES,
    helpGroup: 'PROMPT',
  })(),
  emphasis: Flags.option({
    description: 'How weights of the a1111 syntax act: as in A1111, or without its scaling of the rest ("No norm").',
    env: 'SWIFTD_EMPHASIS',
    options: EMPHASES,
    helpGroup: 'PROMPT',
  })(),
  'clip-skip': numberFlag('clip-skip', {
    description:
      "The text encoder's last layers to leave out; in the a1111 syntax counted from 1, which leaves out none.",
    env: 'SWIFTD_CLIP_SKIP',
    range: LIMITS.clipSkip,
    helpGroup: 'PROMPT',
  }),
}

/** How the image is denoised. */
export const SAMPLING_FLAGS = {
  steps: numberFlag('steps', {
    description: 'Denoising steps. By default what suits the model.',
    ...settingFlag('steps'),
    range: LIMITS.numInferenceSteps,
    helpGroup: 'SAMPLING',
  }),
  scheduler: Flags.string({
    description: 'Sampler, such as "Euler" or "DPM++ 2M Karras". By default the model\'s own.',
    ...settingFlag('scheduler'),
    helpValue: 'NAME',
    helpGroup: 'SAMPLING',
  }),
  'guidance-scale': numberFlag('guidance-scale', {
    description: 'How strongly the image follows the prompt; 1 turns guidance off. By default what suits the model.',
    ...settingFlag('guidance-scale'),
    range: LIMITS.guidanceScale,
    helpGroup: 'SAMPLING',
  }),
  'guidance-rescale': numberFlag('guidance-rescale', {
    description: 'Against washed-out colours of high guidance, 0 (off) to 1; v-prediction models like 0.7.',
    env: 'SWIFTD_GUIDANCE_RESCALE',
    range: LIMITS.guidanceRescale,
    helpGroup: 'SAMPLING',
  }),
  eta: numberFlag('eta', {
    description: "DDIM's share of fresh noise, 0 to 1.",
    env: 'SWIFTD_ETA',
    range: LIMITS.eta,
    helpGroup: 'SAMPLING',
  }),
}

/** Where the noise comes from. */
export const NOISE_FLAGS = {
  seed: numberFlag('seed', {
    description: 'The same seed draws the same image again. Random by default.',
    env: 'SWIFTD_SEED',
    range: LIMITS.seed,
    helpGroup: 'NOISE',
  }),
  n: numberFlag('n', {
    char: 'n',
    description: 'Images to draw in one batch; image i has seed + i.',
    env: 'SWIFTD_N',
    range: LIMITS.numImages,
    helpGroup: 'NOISE',
  }),
  rng: Flags.option({
    description: 'Whose random numbers: those that PyTorch draws on CPUs, or on NVIDIA GPUs as A1111 does by default.',
    ...settingFlag('rng'),
    options: GENERATORS,
    helpGroup: 'NOISE',
  })(),
  'noise-convention': Flags.option({
    description: "Whose way to make noise of seeds: diffusers' or that of A1111, which has variation seeds.",
    ...settingFlag('noise-convention'),
    options: NOISE_CONVENTIONS,
    helpGroup: 'NOISE',
  })(),
  'variation-seed': numberFlag('variation-seed', {
    description: 'Another seed whose noise is mixed in (a1111 convention).',
    env: 'SWIFTD_VARIATION_SEED',
    range: LIMITS.variationSeed,
    helpGroup: 'NOISE',
  }),
  'variation-strength': numberFlag('variation-strength', {
    description: 'How much of it, 0 to 1.',
    env: 'SWIFTD_VARIATION_STRENGTH',
    range: LIMITS.variationStrength,
    helpGroup: 'NOISE',
  }),
}
