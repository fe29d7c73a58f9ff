import { Flags } from '@oclif/core'
import { SwiftdError } from '../../engine/errors.js'
import { describeRange, isInRange, type NumberRange } from '../../daemon/protocol/limits.js'

interface NumberFlagOptions {
  readonly description: string
  readonly env: string
  readonly range: NumberRange
  readonly char?: 's' | 'n'
  readonly helpValue?: string
  readonly helpGroup?: string
  /** As oclif has it; `settingFlag` gives it and the next. */
  readonly default?: () => Promise<number | undefined>
  readonly noCacheDefault?: boolean
}

/** A flag that takes a number within a range; the error names flag, value and what is allowed. */
export function numberFlag(name: string, { range, ...options }: NumberFlagOptions) {
  return Flags.custom<number>({
    helpValue: 'N',
    ...options,
    parse: (text) => {
      const value = text.trim() === '' ? NaN : Number(text)
      if (isInRange(value, range)) return Promise.resolve(value)
      const sentence = `--${name} must be ${describeRange(range)}, not "${text}".`
      return Promise.reject(new SwiftdError('INVALID_REQUEST', sentence))
    },
  })()
}

/** Seconds, also with a fraction. */
export const SECONDS = { min: 0, max: 86_400, fractional: true } as const satisfies NumberRange
