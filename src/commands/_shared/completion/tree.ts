import type { Interfaces } from '@oclif/core'

/** What can be completed by names that only the machine knows; `swiftd completion values KIND` prints them. */
export const VALUE_KINDS = ['models', 'loras', 'controlnets', 'jobs', 'devices', 'machine-devices', 'settings'] as const
export type ValueKind = (typeof VALUE_KINDS)[number]

/** What a flag or an argument takes. */
export type Values = { readonly words: readonly string[] } | { readonly kind: ValueKind } | 'files' | 'anything'

export interface CompletedFlag {
  /** With its dashes; the long form first. */
  readonly spellings: readonly string[]
  readonly description: string
  /** Undefined for switches. */
  readonly values?: Values
}

export interface CompletedCommand {
  /** For example `model list`. */
  readonly path: string
  readonly summary: string
  readonly flags: readonly CompletedFlag[]
  /** Of its arguments. */
  readonly values?: Values
}

const FLAG_KINDS: Readonly<Record<string, ValueKind>> = {
  model: 'models',
  lora: 'loras',
  control: 'controlnets',
  controlnet: 'controlnets',
  device: 'machine-devices',
  'base-device': 'devices',
  'second-device': 'devices',
  'text-device': 'devices',
  'controlnet-device': 'devices',
}

const FILE_FLAGS = ['output', 'config', 'vae', 'image', 'mask', 'prompts-file', 'control-image']

/** Commands whose arguments are names, by the begin of their path. */
const ARGUMENT_KINDS: readonly (readonly [RegExp, ValueKind])[] = [
  [/^jobs (show|cancel|wait)$/, 'jobs'],
  [/^config (get|set|unset)$/, 'settings'],
  [/^model (show|rm)$/, 'models'],
  [/^lora (show|rm|preload)$/, 'loras'],
  [/^controlnet (show|rm|preload)$/, 'controlnets'],
]

/** All commands that people type, from what oclif knows. */
export function completionTree(config: Interfaces.Config): CompletedCommand[] {
  return config.commands
    .filter(({ hidden }) => !hidden)
    .map(describeCommand)
    .sort((a, b) => a.path.localeCompare(b.path))
}

function describeCommand({ id, summary, flags, args }: Interfaces.Config['commands'][number]): CompletedCommand {
  const path = id.replaceAll(':', ' ')
  return {
    path,
    summary: summary ?? '',
    flags: [
      ...Object.entries(flags).map(([name, flag]) => describeFlag(name, flag)),
      { spellings: ['--help'], description: 'Show help.' },
    ],
    values: argumentValues(path, Object.values(args)),
  }
}

type Flag = Interfaces.Config['commands'][number]['flags'][string]

function describeFlag(name: string, flag: Flag): CompletedFlag {
  const spellings = [`--${name}`, ...(flag.char ? [`-${flag.char}`] : [])]
  const description = (flag.summary ?? flag.description ?? '').split('. ')[0].replace(/\.$/, '')
  if (flag.type === 'boolean') {
    return { spellings: [...spellings, ...(flag.allowNo ? [`--no-${name}`] : [])], description }
  }
  return { spellings, description, values: flagValues(name, flag.options) }
}

function flagValues(name: string, options: readonly string[] | undefined): Values {
  if (options) return { words: options }
  if (Object.hasOwn(FLAG_KINDS, name)) return { kind: FLAG_KINDS[name] }
  return FILE_FLAGS.includes(name) ? 'files' : 'anything'
}

function argumentValues(path: string, args: readonly { readonly options?: readonly string[] }[]): Values | undefined {
  const kind = ARGUMENT_KINDS.find(([pattern]) => pattern.test(path))?.[1]
  if (kind !== undefined) return { kind }
  const words = args[0]?.options
  if (words) return { words }
  return args.length > 0 ? 'files' : undefined
}
