import { SwiftdError } from '../../engine/errors.js'
import type { GenerateFlags } from './generate-request.js'

/** What else is on the command line. */
export interface Besides {
  /** --json */
  readonly json?: boolean
  readonly prompt?: string
  /** There is a job for each line of a file or of stdin. */
  readonly lines?: boolean
}

/**
 * Refuses flags that contradict each other, all in one sentence, before anything is read or started.
 * @throws SwiftdError INVALID_REQUEST
 */
export function checkFlagsTogether(flags: GenerateFlags, besides: Besides = {}): void {
  const problems = [...requestProblems(flags, besides), ...outputProblems(flags, besides)]
  const found = problems.filter((problem) => typeof problem === 'string')
  if (found.length === 0) return
  throw new SwiftdError('INVALID_REQUEST', `These flags do not go together: ${found.join('; ')}.`)
}

/** A problem, or anything else where there is none. */
type Problem = string | boolean | undefined

function requestProblems(flags: GenerateFlags, { prompt, lines = false }: Besides): Problem[] {
  const given = (name: keyof GenerateFlags): boolean => flags[name] !== undefined
  // What another image or a line brings along is not known here.
  const alone = !given('from') && !lines
  const variation = given('variation-seed') || (flags['variation-strength'] ?? 0) > 0
  const second = (['prompt-2', 'negative-prompt-2'] as const).find(given)
  return [
    alone && given('mask') && !given('image') && '--mask needs --image',
    alone && given('strength') && !given('image') && '--strength needs --image',
    given('lora-at') && given('lora-bound') && '--lora-at fixes the step that --lora-bound leaves open',
    alone && (flags['variation-strength'] ?? 0) > 0 && !given('variation-seed') && needsSeed,
    alone && variation && flags['noise-convention'] !== 'a1111' && needsConvention,
    second && flags['prompt-syntax'] === 'a1111' && `--${second} needs --prompt-syntax diffusers`,
    given('second-device') && flags['latent-parallel'] === false && '--second-device needs --latent-parallel',
    given('prompts-file') && prompt !== undefined && 'the prompts are those of --prompts-file or the one that is given',
    given('from') && lines && '--from makes one image again and takes no file of prompts',
  ]
}

function outputProblems(flags: GenerateFlags, { json = false, lines = false }: Besides): Problem[] {
  const stdout = flags.output === '-'
  return [
    stdout && json && '"-o -" and --json both write to stdout',
    stdout && flags.jsonl && '"-o -" and --jsonl both write to stdout',
    json && flags.jsonl && '--json prints one document and --jsonl a line for each event',
    // How many lines there are is not known here.
    stdout && !lines && (flags.n ?? 1) > 1 && `"-o -" takes one image, not the ${flags.n} of --n`,
    flags.detach && flags.output !== undefined && '--detach does not wait for the image of -o; "jobs wait -o" saves it',
    flags.detach && flags.show && '--detach does not wait for the image of --show',
    flags.detach &&
      flags.timeout !== undefined &&
      '--detach does not wait, so that there is nothing for --timeout to end',
    flags.detach && flags.jsonl && '--detach does not wait for the events of --jsonl',
  ]
}

const needsSeed = '--variation-strength needs --variation-seed'
const needsConvention = '--variation-seed and --variation-strength need --noise-convention a1111'

/**
 * The flags without those of the environment and of the configuration that others on the command line contradict.
 * @param typed tells whether a flag is on the command line
 */
export function preferTyped(flags: GenerateFlags, typed: (name: string) => boolean): GenerateFlags {
  const unless = (name: keyof GenerateFlags, ...others: readonly string[]) =>
    !typed(name) && others.some(typed) && { [name]: undefined }
  const chosen: GenerateFlags = {
    ...flags,
    ...unless('lora-at', 'lora-bound'),
    ...unless('lora-bound', 'lora-at'),
    ...unless('prompts-file', 'prompt'),
    ...unless('jsonl', 'json', 'detach'),
    ...unless('detach', 'jsonl', 'output', 'show', 'timeout'),
  }
  const unwaited = (['output', 'show', 'timeout'] as const).filter((name) => chosen.detach && !typed(name))
  return { ...chosen, ...Object.fromEntries(unwaited.map((name) => [name, undefined])) }
}
