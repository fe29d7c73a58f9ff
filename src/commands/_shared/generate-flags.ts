import { Flags } from '@oclif/core'
import { LIMITS } from '../../daemon/protocol/limits.js'
import { CONTROL_FLAGS, LORA_FLAGS, PLACEMENT_FLAGS } from './adapter-flags.js'
import { numberFlag, SECONDS } from './flags.js'
import { PICTURE_FLAGS, VAE_FLAGS } from './picture-flags.js'
import { NOISE_FLAGS, PROMPT_FLAGS, SAMPLING_FLAGS } from './sampling-flags.js'
import { settingFlag } from './setting-values.js'

/** All flags of `swiftd generate`, by their groups. */
export const GENERATE_FLAGS = {
  output: Flags.string({
    char: 'o',
    description:
      'File to write, replaced if it exists; - is stdout. {seed}, {index}, {job} and, with several prompts, {line} in its ' +
      'name stand for those of the image. By default a new file swiftd-SEED.png.',
    ...settingFlag('output'),
    helpValue: 'PATH',
  }),
  from: Flags.string({
    description: 'Make a PNG of swiftd or A1111 again from its metadata. Other flags change it.',
    env: 'SWIFTD_FROM',
    helpValue: 'FILE',
  }),
  model: Flags.string({
    description:
      'Name of a model, or path of a diffusers folder (./name in the current directory) or .safetensors file.',
    ...settingFlag('model'),
    helpValue: 'NAME|PATH',
  }),
  width: numberFlag('width', {
    description: 'Pixels, a multiple of 8. By default the size the model was made for.',
    ...settingFlag('width'),
    range: LIMITS.width,
  }),
  height: numberFlag('height', {
    description: 'Pixels, a multiple of 8. By default the size the model was made for.',
    ...settingFlag('height'),
    range: LIMITS.height,
  }),
  timeout: numberFlag('timeout', {
    description: 'Cancel the job and exit with 124 if the image is not ready after this many seconds.',
    env: 'SWIFTD_TIMEOUT',
    range: SECONDS,
    helpValue: 'SECONDS',
  }),
  show: Flags.boolean({
    description: 'Show the finished image in the terminal: kitty, iTerm2, WezTerm, Ghostty; in coarse cells elsewhere.',
    env: 'SWIFTD_SHOW',
  }),
  quiet: Flags.boolean({ char: 'q', description: 'Show no progress.', env: 'SWIFTD_QUIET' }),
  'prompts-file': Flags.string({
    description:
      'Prompts, one a line, each a job; lines that begin with { are JSON objects with fields of a request. - is stdin.',
    env: 'SWIFTD_PROMPTS_FILE',
    helpValue: 'FILE',
    helpGroup: 'SCRIPTS',
  }),
  detach: Flags.boolean({
    description: 'Print the id of the job and do not wait for it; "jobs wait" does.',
    env: 'SWIFTD_DETACH',
    helpGroup: 'SCRIPTS',
  }),
  jsonl: Flags.boolean({
    description: 'Print each event as a line of JSON, and the result, or the error, as the last one.',
    env: 'SWIFTD_JSONL',
    helpGroup: 'SCRIPTS',
  }),
  ...PROMPT_FLAGS,
  ...SAMPLING_FLAGS,
  ...NOISE_FLAGS,
  ...PICTURE_FLAGS,
  ...LORA_FLAGS,
  ...CONTROL_FLAGS,
  ...VAE_FLAGS,
  ...PLACEMENT_FLAGS,
}
