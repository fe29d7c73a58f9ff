/**
 * The generation parameters as text, in the form that AUTOMATIC1111's web UI writes under the PNG keyword `parameters`
 * (modules/processing.py create_infotext, modules/infotext_utils.py parse_generation_parameters) and that other tools
 * read: the prompt, a line `Negative prompt: …`, and a last line of `Key: value` pairs.
 */
import { formatPairs, parsePairs, type Pair } from './infotext-pairs.js'

/** Everything that is needed to make an image again. Absent fields are left out of the text. */
export interface GenerationParameters {
  readonly prompt: string
  readonly negativePrompt: string
  readonly steps?: number
  /** A1111's name, such as `DPM++ 2M`. */
  readonly sampler?: string
  /** A1111's name of the sigma spacing, such as `Karras`. */
  readonly scheduleType?: string
  readonly cfgScale?: number
  /** 64 bits: a number where it is exact, otherwise a bigint. */
  readonly seed?: number | bigint
  readonly width?: number
  readonly height?: number
  /** The first ten hex digits of the SHA-256 of the weights file. */
  readonly modelHash?: string
  readonly model?: string
  readonly vaeHash?: string
  readonly vae?: string
  readonly variationSeed?: number | bigint
  readonly variationSeedStrength?: number
  readonly denoisingStrength?: number
  readonly clipSkip?: number
  /** Which generator drew the noise. @default 'CPU', and always written: readers take its absence for `GPU`. */
  readonly rng?: string
  /** One per ControlNet, by sd-webui-controlnet's names (`Module`, `Model`, `Weight`, …), in their order. */
  readonly controlNets?: readonly Readonly<Record<string, string>>[]
  /** Short hashes by LoRA name. Colons, commas and quotes are taken out of the names, as A1111 does with the first two. */
  readonly loraHashes?: Readonly<Record<string, string>>
  /** Settings without a field here, in their order, such as `Lora patch step`. Keys are words with spaces, - and /. */
  readonly extra?: Readonly<Record<string, string>>
  readonly version?: string
}

const NEGATIVE = 'Negative prompt:'

/** A1111 takes the last line for settings only from this many pairs on. */
const MIN_PAIRS = 3

/** Where a prompt cannot be told from the other parts, it is written again under these keys, which win when read. */
const EXACT_PROMPT = 'Exact prompt'
const EXACT_NEGATIVE = 'Exact negative prompt'

/** Formats parameters; `parseInfotext` gives them back. At least three settings are needed, as every image has. */
export function formatInfotext(parameters: GenerationParameters): string {
  const { prompt, negativePrompt } = parameters
  const lines = [prompt, ...(negativePrompt === '' ? [] : [`${NEGATIVE} ${negativePrompt}`])].join('\n')
  const read = parsePrompts(lines)
  const pairs = settingPairs(parameters)
  if (read.prompt !== prompt) pairs.push([EXACT_PROMPT, prompt])
  if (read.negativePrompt !== negativePrompt) pairs.push([EXACT_NEGATIVE, negativePrompt])
  return `${lines}\n${formatPairs(pairs)}`
}

/**
 * Reads what `formatInfotext`, A1111 or a compatible tool wrote. Any text is accepted: what is not recognised as settings
 * is prompt, and settings that are not understood are kept in `extra` as they are.
 */
export function parseInfotext(text: string): GenerationParameters {
  const cut = text.trimEnd().lastIndexOf('\n')
  const pairs = parsePairs(text.slice(cut + 1))
  if (pairs.length < MIN_PAIRS) return parsePrompts(text)
  const exact = (key: string) => pairs.find(([name]) => name === key)?.[1]
  const prompts = parsePrompts(text.slice(0, Math.max(cut, 0)))
  return {
    prompt: exact(EXACT_PROMPT) ?? prompts.prompt,
    negativePrompt: exact(EXACT_NEGATIVE) ?? prompts.negativePrompt,
    ...readSettings(pairs.filter(([name]) => name !== EXACT_PROMPT && name !== EXACT_NEGATIVE)),
  }
}

function parsePrompts(text: string): { prompt: string; negativePrompt: string } {
  const lines = text.split('\n')
  const split = lines.findIndex((line) => line.startsWith(NEGATIVE))
  if (split < 0) return { prompt: text, negativePrompt: '' }
  const negative = lines.slice(split).join('\n').slice(NEGATIVE.length)
  return { prompt: lines.slice(0, split).join('\n'), negativePrompt: negative.replace(/^ /, '') }
}

type Settings = {
  -readonly [Key in keyof Omit<GenerationParameters, 'prompt' | 'negativePrompt'>]: GenerationParameters[Key]
}

interface Field {
  readonly key: string
  readonly format: (settings: Settings) => string | number | bigint | undefined
  /** Gives undefined where the value is not what the key promises. */
  readonly parse: (value: string) => Settings | undefined
}

function textField(
  key: string,
  name: 'sampler' | 'scheduleType' | 'modelHash' | 'model' | 'vaeHash' | 'vae' | 'rng',
): Field {
  return { key, format: (settings) => settings[name], parse: (value) => ({ [name]: value }) }
}

function numberField(
  key: string,
  name: 'steps' | 'cfgScale' | 'variationSeedStrength' | 'denoisingStrength' | 'clipSkip',
): Field {
  return {
    key,
    format: (settings) => settings[name],
    parse: (value) => (isNumber(value) ? { [name]: Number(value) } : undefined),
  }
}

function seedField(key: string, name: 'seed' | 'variationSeed'): Field {
  return {
    key,
    format: (settings) => settings[name],
    parse(value) {
      if (!/^-?\d+$/.test(value)) return undefined
      const seed = BigInt(value)
      return { [name]: Number.isSafeInteger(Number(seed)) ? Number(seed) : seed }
    },
  }
}

const sizeField: Field = {
  key: 'Size',
  format: ({ width, height }) => (width === undefined || height === undefined ? undefined : `${width}x${height}`),
  parse(value) {
    const size = /^(\d+)x(\d+)$/.exec(value)
    return size ? { width: Number(size[1]), height: Number(size[2]) } : undefined
  },
}

/** The settings in A1111's order, up to those of extensions. */
const FIELDS: readonly Field[] = [
  numberField('Steps', 'steps'),
  textField('Sampler', 'sampler'),
  textField('Schedule type', 'scheduleType'),
  numberField('CFG scale', 'cfgScale'),
  seedField('Seed', 'seed'),
  sizeField,
  textField('Model hash', 'modelHash'),
  textField('Model', 'model'),
  textField('VAE hash', 'vaeHash'),
  textField('VAE', 'vae'),
  seedField('Variation seed', 'variationSeed'),
  numberField('Variation seed strength', 'variationSeedStrength'),
  numberField('Denoising strength', 'denoisingStrength'),
  numberField('Clip skip', 'clipSkip'),
  textField('RNG', 'rng'),
]

function settingPairs(parameters: GenerationParameters): Pair[] {
  const pairs: Pair[] = []
  for (const { key, format } of FIELDS) {
    const value = format({ rng: 'CPU', ...parameters })
    if (value !== undefined) pairs.push([key, String(value)])
  }
  parameters.controlNets?.forEach((unit, index) => {
    pairs.push([`ControlNet ${index}`, formatPairs(Object.entries(unit))])
  })
  if (parameters.loraHashes) pairs.push(['Lora hashes', formatLoraHashes(parameters.loraHashes)])
  pairs.push(...Object.entries(parameters.extra ?? {}))
  if (parameters.version !== undefined) pairs.push(['Version', parameters.version])
  return pairs
}

function readSettings(pairs: readonly Pair[]): Settings {
  const settings: Settings = {}
  const controlNets: Record<string, string>[] = []
  const extra: Pair[] = []
  for (const [key, value] of pairs) {
    const read = FIELDS.find((field) => field.key === key)?.parse(value)
    if (read) Object.assign(settings, read)
    else if (key === `ControlNet ${controlNets.length}`) controlNets.push(Object.fromEntries(parsePairs(value)))
    else if (key === 'Lora hashes') settings.loraHashes = parseLoraHashes(value)
    else if (key === 'Version') settings.version = value
    else extra.push([key, value])
  }
  if (controlNets.length > 0) settings.controlNets = controlNets
  if (extra.length > 0) settings.extra = Object.fromEntries(extra)
  return settings
}

function formatLoraHashes(hashes: Readonly<Record<string, string>>): string {
  return Object.entries(hashes)
    .map(([name, hash]) => `${name.replace(/[:,"]/g, '').trim()}: ${hash}`)
    .join(', ')
}

function parseLoraHashes(value: string): Record<string, string> {
  const entries = value.split(',').map((entry) => entry.split(':').map((part) => part.trim()))
  return Object.fromEntries(entries.filter(([name, hash]) => name && hash) as Pair[])
}

function isNumber(value: string): boolean {
  return value.trim() !== '' && Number.isFinite(Number(value))
}
