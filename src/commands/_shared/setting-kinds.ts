import { describeRange, isInRange, type NumberRange } from '../../daemon/protocol/limits.js'

/** What values a setting may have, and how people write them. */
export interface SettingKind<T> {
  /** What is allowed, as the end of a sentence that begins with "… must be". */
  readonly expected: string
  /** A value as the configuration file has it; undefined if it is not allowed. */
  readonly accept: (value: unknown) => T | undefined
  /** A value as a person writes it: an argument, an environment variable. Undefined if it is not allowed. */
  readonly read: (text: string) => T | undefined
}

/** Any text. */
export function text(expected: string): SettingKind<string> {
  const accept = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
  return { expected, accept, read: accept }
}

/** One of a few words. */
export function choice<const T extends string>(choices: readonly T[]): SettingKind<T> {
  const accept = (value: unknown): T | undefined => choices.find((each) => each === value)
  return { expected: choices.join(' or '), accept, read: accept }
}

/** A number within a range. */
export function number(range: NumberRange): SettingKind<number> {
  return numberWhere(describeRange(range), (value) => isInRange(value, range))
}

/** A number that `allowed` likes. */
export function numberWhere(expected: string, allowed: (value: number) => boolean): SettingKind<number> {
  const accept = (value: unknown): number | undefined =>
    typeof value === 'number' && allowed(value) ? value : undefined
  return { expected, accept, read: (words) => (words.trim() === '' ? undefined : accept(Number(words))) }
}

const WORDS: Readonly<Record<string, boolean>> = {
  ...{ true: true, yes: true, on: true, 1: true },
  ...{ false: false, no: false, off: false, 0: false },
}

/** On or off. */
export function toggle(): SettingKind<boolean> {
  return {
    expected: 'true or false',
    accept: (value) => (typeof value === 'boolean' ? value : undefined),
    read: (words) => (Object.hasOwn(WORDS, words.toLowerCase()) ? WORDS[words.toLowerCase()] : undefined),
  }
}

/** On, off, or what swiftd decides. */
export function toggleOrAuto(): SettingKind<boolean | 'auto'> {
  const { accept, read } = toggle()
  return {
    expected: 'true, false or auto',
    accept: (value) => (value === 'auto' ? value : accept(value)),
    read: (words) => (words === 'auto' ? words : read(words)),
  }
}

/** Several texts; people write them with commas between. `check` throws for an item that is not allowed. */
export function list(expected: string, check: (items: readonly string[]) => void): SettingKind<string[]> {
  const accept = (value: unknown): string[] | undefined => {
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) return undefined
    try {
      check(value)
      return value
    } catch {
      return undefined
    }
  }
  return { expected, accept, read: (words) => accept(splitList(words)) }
}

/** The items between commas, without empty ones. */
export function splitList(words: string): string[] {
  return words
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}
