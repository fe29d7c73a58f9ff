import { basename } from 'node:path'
import { SwiftdError } from '../../engine/errors.js'

/** The tag of a name that has none. */
export const DEFAULT_TAG = 'latest'

const PART = /^[a-z0-9][a-z0-9._-]*$/
const MAX_PART_LENGTH = 80
const WEIGHTS_FILE = /\.(safetensors|ckpt|pt|pth|bin)$/i

/**
 * True for what is meant as a path: it has a slash or a weights file's ending. Names have neither. A folder in the current
 * directory is written ./folder, as "folder" alone is a name.
 */
export function isModelPath(reference: string): boolean {
  return reference.includes('/') || WEIGHTS_FILE.test(reference)
}

/**
 * The full form `name:tag` of a model's name; the tag is `latest` where none is given, as with Ollama.
 * @throws SwiftdError INVALID_REQUEST with what a name may look like
 */
export function fullModelName(name: string): string {
  const [base, tag = DEFAULT_TAG, ...rest] = name.split(':')
  const valid = [base, tag].every((part) => PART.test(part) && part.length <= MAX_PART_LENGTH)
  if (valid && rest.length === 0 && !isModelPath(name)) return `${base}:${tag}`
  const rules = `lower-case letters, digits, ".", "_" and "-", perhaps with a ":tag"; "${nameFromPath(name)}" would do`
  throw new SwiftdError('INVALID_REQUEST', `"${name}" cannot be a name: a name has ${rules}.`)
}

/** How a full name is shown: without the tag that it would have anyway. */
export function shortModelName(name: string): string {
  const ending = `:${DEFAULT_TAG}`
  return name.endsWith(ending) ? name.slice(0, -ending.length) : name
}

/** A valid name for the model at a path: what the file or folder is called, without its ending. */
export function nameFromPath(path: string): string {
  const words = basename(path).replace(WEIGHTS_FILE, '').toLowerCase()
  const name = words.replaceAll(/[^a-z0-9._-]+/g, '-').replaceAll(/^[^a-z0-9]+|[^a-z0-9]+$/g, '')
  return name.slice(0, MAX_PART_LENGTH) || 'model'
}

/**
 * The full names that a reference means: the one that it spells out, or those that it begins.
 * @param names full names
 */
export function matchModelName(reference: string, names: readonly string[]): readonly string[] {
  const wanted = reference.toLowerCase()
  const exact = [wanted, `${wanted}:${DEFAULT_TAG}`].find((name) => names.includes(name))
  if (exact !== undefined) return [exact]
  return wanted === '' ? [] : names.filter((name) => name.startsWith(wanted))
}
