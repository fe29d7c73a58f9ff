import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SwiftdError } from '../errors.js'

/** What a diffusers tokenizer folder says, checked. */
export interface TokenizerFiles {
  readonly vocabulary: Readonly<Record<string, number>>
  /** Pairs in order of priority, each as "left right". */
  readonly merges: readonly string[]
  readonly contextLength: number
  readonly beginToken: string
  readonly beginId: number
  readonly endToken: string
  readonly endId: number
  readonly unknownToken: string
  readonly padId: number
}

const CLIP_CONTEXT_LENGTH = 77

/** Larger values of `model_max_length` mean "not set" (transformers writes 1e30). */
const MAX_CONTEXT_LENGTH = 1_024

type Json = Record<string, unknown>

/**
 * Reads vocab.json, merges.txt, special_tokens_map.json and tokenizer_config.json of a tokenizer folder.
 * vocab.json and merges.txt may be replaced by tokenizer.json, special_tokens_map.json by the same fields of
 * tokenizer_config.json; where both name a special token, special_tokens_map.json wins, as in transformers.
 * @throws SwiftdError INVALID_CONFIG if a file is missing or malformed
 */
export async function readTokenizerFiles(directory: string): Promise<TokenizerFiles> {
  const config = await readJson(directory, 'tokenizer_config.json')
  const specials = await readOptionalJson(directory, 'special_tokens_map.json')
  const { vocabulary, merges } = await readVocabulary(directory)

  const token = (role: string): string => {
    const content = tokenContent(specials?.[role]) ?? tokenContent(config[role])
    if (content === undefined) throw invalid(directory, `neither of its configuration files names a ${role}`)
    return content
  }
  const id = (role: string): number => {
    const content = token(role)
    const value = Object.hasOwn(vocabulary, content) ? vocabulary[content] : undefined
    if (value === undefined) throw invalid(directory, `its ${role} "${content}" is not in the vocabulary`)
    return value
  }
  return {
    vocabulary,
    merges,
    contextLength: readContextLength(directory, config),
    beginToken: token('bos_token'),
    beginId: id('bos_token'),
    endToken: token('eos_token'),
    endId: id('eos_token'),
    unknownToken: token('unk_token'),
    padId: id('pad_token'),
  }
}

function readContextLength(directory: string, config: Json): number {
  const value = config.model_max_length ?? CLIP_CONTEXT_LENGTH
  if (typeof value !== 'number' || value < 3 || (value <= MAX_CONTEXT_LENGTH && !Number.isInteger(value))) {
    throw invalid(directory, `model_max_length is ${JSON.stringify(value)}, not a number of tokens`)
  }
  return value <= MAX_CONTEXT_LENGTH ? value : CLIP_CONTEXT_LENGTH
}

async function readVocabulary(directory: string): Promise<Pick<TokenizerFiles, 'vocabulary' | 'merges'>> {
  const vocabulary = await readOptionalJson(directory, 'vocab.json')
  if (vocabulary !== undefined) {
    const lines = (await readText(directory, 'merges.txt')).split(/\r?\n/)
    const first = lines[0]?.startsWith('#version') ? 1 : 0
    const merges = lines.slice(first).filter((line) => line !== '')
    return checkVocabulary(directory, vocabulary, merges, 'vocab.json', 'merges.txt')
  }
  const combined = await readOptionalJson(directory, 'tokenizer.json')
  if (combined === undefined) throw invalid(directory, 'vocab.json is missing')
  const { vocab, merges } = isRecord(combined.model) ? combined.model : {}
  if (!isRecord(vocab) || !Array.isArray(merges)) {
    throw invalid(directory, 'tokenizer.json has no vocabulary with merges, and vocab.json is missing')
  }
  // Older exports write a merge as "left right", newer ones as ["left", "right"].
  const joined = merges.map((merge: unknown) => (Array.isArray(merge) ? merge.join(' ') : merge))
  return checkVocabulary(directory, vocab, joined, 'tokenizer.json', 'tokenizer.json')
}

function checkVocabulary(directory: string, vocabulary: Json, merges: unknown[], vocabFile: string, mergeFile: string) {
  for (const [token, id] of Object.entries(vocabulary)) {
    if (!Number.isSafeInteger(id) || (id as number) < 0) {
      throw invalid(directory, `${vocabFile} gives "${token}" the id ${JSON.stringify(id)}`)
    }
  }
  for (const merge of merges) {
    if (typeof merge !== 'string' || !/^\S+ \S+$/.test(merge)) {
      throw invalid(directory, `${mergeFile} has the merge ${JSON.stringify(merge)} where a pair was expected`)
    }
  }
  return { vocabulary: vocabulary as Record<string, number>, merges: merges as string[] }
}

/** A special token is written as its text or as an object with the text in `content`. */
function tokenContent(value: unknown): string | undefined {
  const content = isRecord(value) ? value.content : value
  return typeof content === 'string' ? content : undefined
}

async function readJson(directory: string, name: string): Promise<Json> {
  const text = await readText(directory, name)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw invalid(directory, `${name} is not JSON`, error)
  }
  if (!isRecord(value)) throw invalid(directory, `${name} is not a JSON object`)
  return value
}

async function readOptionalJson(directory: string, name: string): Promise<Json | undefined> {
  try {
    return await readJson(directory, name)
  } catch (error) {
    if (error instanceof Error && isMissing(error.cause)) return undefined
    throw error
  }
}

async function readText(directory: string, name: string): Promise<string> {
  try {
    return await readFile(join(directory, name), 'utf8')
  } catch (error) {
    const reason = isMissing(error)
      ? 'is missing'
      : `cannot be read (${error instanceof Error ? error.message : String(error)})`
    throw invalid(directory, `${name} ${reason}`, error)
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(directory: string, what: string, cause?: unknown): SwiftdError {
  const message = `The tokenizer in ${directory} cannot be used: ${what}. Download the model's tokenizer folder again.`
  return new SwiftdError('INVALID_CONFIG', message, { cause })
}
