import { SwiftdError } from '../../engine/errors.js'
import type { GenerateFlags } from './generate-request.js'

/**
 * Refuses flags that contradict each other, all in one sentence, before anything is read or started.
 * @param json whether --json is given, too
 * @throws SwiftdError INVALID_REQUEST
 */
export function checkFlagsTogether(flags: GenerateFlags, json: boolean): void {
  const given = (name: keyof GenerateFlags): boolean => flags[name] !== undefined
  // What another image brings along is not known here.
  const alone = !given('from')
  const stdout = flags.output === '-'
  const variation = given('variation-seed') || (flags['variation-strength'] ?? 0) > 0
  const second = (['prompt-2', 'negative-prompt-2'] as const).find(given)
  const problems = [
    alone && given('mask') && !given('image') && '--mask needs --image',
    alone && given('strength') && !given('image') && '--strength needs --image',
    given('lora-at') && given('lora-bound') && '--lora-at fixes the step that --lora-bound leaves open',
    alone && (flags['variation-strength'] ?? 0) > 0 && !given('variation-seed') && needsSeed,
    alone && variation && flags['noise-convention'] !== 'a1111' && needsConvention,
    second && flags['prompt-syntax'] === 'a1111' && `--${second} needs --prompt-syntax diffusers`,
    given('second-device') && flags['latent-parallel'] === false && '--second-device needs --latent-parallel',
    stdout && json && '"-o -" and --json both write to stdout',
    stdout && (flags.n ?? 1) > 1 && `"-o -" takes one image, not the ${flags.n} of --n`,
  ].filter((problem) => typeof problem === 'string')
  if (problems.length === 0) return
  throw new SwiftdError('INVALID_REQUEST', `These flags do not go together: ${problems.join('; ')}.`)
}

const needsSeed = '--variation-strength needs --variation-seed'
const needsConvention = '--variation-seed and --variation-strength need --noise-convention a1111'

/**
 * The flags without those of the environment and of the configuration that others on the command line contradict.
 * @param typed tells whether a flag is on the command line
 */
export function preferTyped(flags: GenerateFlags, typed: (name: string) => boolean): GenerateFlags {
  const [at, bound] = [typed('lora-at'), typed('lora-bound')]
  if (at === bound) return flags
  return { ...flags, [at ? 'lora-bound' : 'lora-at']: undefined }
}
