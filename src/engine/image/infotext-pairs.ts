/** `Key: value, Key: "quoted value"`, the form of A1111's settings line and of the values nested in it. */
export type Pair = [key: string, value: string]

// Keys are bounded so that a long line without any takes linear time.
const KEY = '[\\p{L}\\p{N}_][\\p{L}\\p{N}_ \\-/]{1,99}'
const KEY_ALONE = new RegExp(`^${KEY}$`, 'u')
const PAIR = new RegExp(`(${KEY}):\\s*("(?:\\\\.|[^\\\\"])+"|[^,]*)(?:,|$)`, 'gu')

/** Writes pairs on one line. Values that the reader would not give back unchanged are written as JSON strings. */
export function formatPairs(pairs: readonly Pair[]): string {
  return pairs
    .map(([key, value]) => {
      if (!KEY_ALONE.test(key) || key !== key.trim()) throw new TypeError(`"${key}" cannot be the key of a setting`)
      return `${key}: ${quote(value)}`
    })
    .join(', ')
}

/** Reads pairs as A1111 does (modules/infotext_utils.py, re_param); text between them is skipped. */
export function parsePairs(line: string): Pair[] {
  return Array.from(line.matchAll(PAIR), ([, key, value]) => [key, unquote(value)])
}

function quote(value: string): string {
  const plain = !/[,:\n\r]/.test(value) && !value.startsWith('"') && value === value.trim()
  return plain ? value : JSON.stringify(value)
}

function unquote(value: string): string {
  if (!value.startsWith('"') || !value.endsWith('"')) return value
  try {
    return String(JSON.parse(value))
  } catch {
    return value
  }
}
