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
  /** Where plots are written. */
  readonly out?: string
}

const NUMBERS = ['steps', 'size', 'rounds', 'requests', 'rate'] as const

/** For `parseArgs`. */
export const OPTION_FLAGS = {
  sd15: { type: 'boolean', default: false },
  out: { type: 'string' },
  ...(Object.fromEntries(NUMBERS.map((name) => [name, { type: 'string' }])) as Record<
    (typeof NUMBERS)[number],
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
  return {
    sd15: values.sd15 ?? false,
    ...(Object.fromEntries(numbers) as Partial<Record<(typeof NUMBERS)[number], number>>),
    ...(typeof values.out === 'string' && { out: values.out }),
  }
}
