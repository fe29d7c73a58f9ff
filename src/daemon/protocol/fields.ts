import { z } from 'zod'
import { describeRange, isInRange, type NumberRange } from './limits.js'

/**
 * The kinds of fields that a request is made of. Each error is the middle of a sentence: the field's name comes before it,
 * the value after it.
 */

/** A number of the limits table, refused with the table's sentence. */
export function bounded(range: NumberRange) {
  const error = `must be ${describeRange(range)}`
  return z.number({ error }).refine((value) => isInRange(value, range), { error })
}

export function text(what: string) {
  return z.string({ error: `must be ${what}` })
}

/** One of a few words. */
export function choice<const Words extends readonly string[]>(words: Words) {
  return z.enum(words, { error: `must be ${describeChoice(words)}` })
}

export function flag() {
  return z.boolean({ error: 'must be true or false' })
}

/** A flag, or what is decided by what is known of the devices. */
export function flagOrAuto() {
  return z.union([z.boolean(), z.literal('auto')], { error: 'must be true, false or "auto"' })
}

/** `a, b or c` */
export function describeChoice(words: readonly string[]): string {
  return [words.slice(0, -1).join(', '), ...words.slice(-1)].filter(Boolean).join(' or ')
}
