import { SwiftdError, type ErrorCode } from '../../engine/errors.js'
import { editDistance } from '../../engine/sampling/schedulers/nearest.js'

export interface Names {
  /** What they name, as in `There is no job "x"`. */
  readonly what: string
  readonly names: readonly string[]
  /** The error's code where none or several match. @default INVALID_REQUEST */
  readonly code?: ErrorCode
  /** What to do where there are no names at all. */
  readonly remedy?: string
}

/**
 * The name that somebody means: the one that is spelled out, or the only one that begins so.
 * @throws SwiftdError with the names that it may be, or with the nearest ones
 */
export function pickName(given: string, { what, names, code = 'INVALID_REQUEST', remedy }: Names): string {
  if (names.includes(given)) return given
  const matches = given === '' ? [] : names.filter((name) => name.startsWith(given))
  if (matches.length === 1) return matches[0]
  if (matches.length > 1) {
    const some = matches.slice(0, 6).join(', ') + (matches.length > 6 ? ', …' : '')
    throw new SwiftdError(code, `"${given}" may be any of ${some}; give more of the ${what}.`)
  }
  const near = nearestNames(given, names).join(', ')
  const advice = names.length === 0 ? (remedy ?? 'there are none') : `did you mean ${near}?`
  throw new SwiftdError(code, `There is no ${what} "${given}"; ${advice}${names.length === 0 ? '.' : ''}`)
}

/** The three names that differ least, also where only the beginning of a name was given. */
function nearestNames(given: string, names: readonly string[]): string[] {
  const distance = (name: string): number =>
    Math.min(editDistance(given, name), 0.5 + editDistance(given, name.slice(0, given.length)))
  return names
    .map((name) => ({ name, distance: distance(name) }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ name }) => name)
}
