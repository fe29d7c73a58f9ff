import type { ParseArgsConfig } from 'node:util'

/** What a scenario may be asked for; each says what it takes where nothing is given. */
export interface ScenarioOptions {
  /** A model of SD1.5's size in the place of the demo model. */
  readonly sd15: boolean
  /** Denoising steps of a job. */
  readonly steps?: number
  /** Width and height of images in pixels. */
  readonly size?: number
  /** Samples of each figure. */
  readonly rounds?: number
  /** Jobs of a trace. */
  readonly requests?: number
  /** Arrivals per minute. */
  readonly rate?: number
  /** What the device can do at most, in 10^12 floating-point operations per second, as its maker says. */
  readonly peak?: number
  /** Where plots are written. */
  readonly out?: string
  /** The device to measure, as the program knows it: `webgpu:0`. */
  readonly on?: string
  /** Models to measure, with commas between them. */
  readonly model?: string
}

const NUMBERS = ['steps', 'size', 'rounds', 'requests', 'rate', 'peak'] as const
const TEXTS = ['out', 'on', 'model'] as const

/** For `parseArgs`. */
export const OPTION_FLAGS = {
  sd15: { type: 'boolean', default: false },
  ...(Object.fromEntries([...NUMBERS, ...TEXTS].map((name) => [name, { type: 'string' }])) as Record<
    (typeof NUMBERS)[number] | (typeof TEXTS)[number],
    { type: 'string' }
  >),
} satisfies ParseArgsConfig['options']

/** @throws Error with one sentence about the first value that is no positive number */
export function readOptions(values: { readonly sd15?: boolean } & Readonly<Record<string, unknown>>): ScenarioOptions {
  const numbers = NUMBERS.filter((name) => values[name] !== undefined).map((name) => {
    const value = Number(values[name])
    if (!(value > 0)) throw new Error(`--${name} must be a number above 0, not "${String(values[name])}".`)
    return [name, value]
  })
  const texts = TEXTS.filter((name) => values[name] !== undefined).map((name) => [name, String(values[name])])
  return {
    sd15: values.sd15 ?? false,
    ...(Object.fromEntries(numbers) as Partial<Record<(typeof NUMBERS)[number], number>>),
    ...(Object.fromEntries(texts) as Partial<Record<(typeof TEXTS)[number], string>>),
  }
}
