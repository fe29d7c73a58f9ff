import { readFile } from 'node:fs/promises'
import { addAbortSignal } from 'node:stream'
import { text as textOf } from 'node:stream/consumers'
import { SwiftdError } from '../../engine/errors.js'
import type { GenerateRequest } from '../../daemon/protocol/request.js'
import type { RequestFields } from './generate-request.js'
import { modelReference } from './model-reference.js'
import { readPictureFile } from './picture-file.js'
import { unlessContradicted } from './remake.js'

/** A line that stands for a job. */
export interface PromptLine {
  /** Its number in the file, from 1. */
  readonly line: number
  /** Fields of a request, not checked; or why the line cannot be read. */
  readonly content: Readonly<Record<string, unknown>> | SwiftdError
}

/**
 * Reads the prompts of a file or of stdin, to its end.
 * @param file a path, or `-` for stdin
 * @throws SwiftdError INVALID_REQUEST if it cannot be read or has no prompts; the reason of `signal`
 */
export async function readPromptLines(file: string, signal: AbortSignal): Promise<PromptLine[]> {
  const lines = parsePromptLines(file === '-' ? await readStdin(signal) : await readPromptsFile(file))
  if (lines.length > 0) return lines
  const where = file === '-' ? 'on stdin' : `in ${file}`
  const remedy = 'give it in quotes, or one a line on stdin or in --prompts-file FILE, or an image by --from'
  throw new SwiftdError('INVALID_REQUEST', `There is no prompt ${where}; ${remedy}.`)
}

/** One job for each line: a prompt, or a JSON object. Empty lines and those that begin with # are left out. */
export function parsePromptLines(text: string): PromptLine[] {
  const lines = text.replace(/^\uFEFF/, '').split('\n')
  return lines
    .map((line, index) => ({ line: index + 1, trimmed: line.trim() }))
    .filter(({ trimmed }) => trimmed !== '' && !trimmed.startsWith('#'))
    .map(({ line, trimmed }) => ({ line, content: trimmed.startsWith('{') ? readJson(trimmed) : { prompt: trimmed } }))
}

function readJson(text: string): PromptLine['content'] {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const remedy = 'correct it, or write {"prompt": "…"} for a prompt that begins with a brace'
    return new SwiftdError('INVALID_REQUEST', `This is no JSON object (${reason}); ${remedy}.`)
  }
}

/**
 * The request of a line: what it says itself, else what the flags say. Where the flags have a seed, the line at `index`
 * (from 0) has one of its own, which is that much larger.
 * @throws SwiftdError INVALID_REQUEST if the line or one of its pictures cannot be read; fields are the daemon's to check
 */
export async function lineRequest(
  defaults: RequestFields,
  { content }: PromptLine,
  index: number,
): Promise<GenerateRequest> {
  if (content instanceof SwiftdError) throw content
  const { seed, ...others } = unlessContradicted(defaults, content)
  const fields = {
    loraTags: true,
    ...others,
    ...(seed !== undefined && { seed: seed + index }),
    ...(await withLocalFiles(content)),
  }
  return fields as Partial<GenerateRequest> as GenerateRequest
}

/** Paths in full, since the daemon has another current directory, and pictures read from their files. */
async function withLocalFiles(content: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>> {
  const { model, vae, loras, controls, image, mask } = content
  return {
    ...content,
    ...(typeof model === 'string' && { model: modelReference(model) }),
    ...(typeof vae === 'string' && { vae: modelReference(vae) }),
    ...(Array.isArray(loras) && { loras: loras.map((lora: unknown) => withPath(lora, 'name')) }),
    ...(Array.isArray(controls) && { controls: await Promise.all(controls.map(readControl)) }),
    ...(image !== undefined && { image: await readPicture(image, 'image') }),
    ...(mask !== undefined && { mask: await readPicture(mask, 'mask') }),
  }
}

async function readControl(control: unknown, index: number): Promise<unknown> {
  const found = withPath(control, 'controlNet')
  return isRecord(found) ? { ...found, image: await readPicture(found.image, `controls[${index}].image`) } : found
}

function withPath(value: unknown, field: string): unknown {
  if (!isRecord(value)) return value
  const name = value[field]
  return typeof name === 'string' ? { ...value, [field]: modelReference(name) } : value
}

/** A picture may be given as the daemon takes it, or as `{"path": FILE}`. */
function readPicture(picture: unknown, field: string): Promise<unknown> {
  const isFile = isRecord(picture) && typeof picture.path === 'string' && picture.data === undefined
  return isFile ? readPictureFile(field, picture.path as string) : Promise.resolve(picture)
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

async function readStdin(signal: AbortSignal): Promise<string> {
  try {
    signal.throwIfAborted()
    return await textOf(addAbortSignal(signal, process.stdin))
  } catch (error) {
    throw signal.aborted && signal.reason instanceof Error ? signal.reason : error
  }
}

async function readPromptsFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    const why = code === 'ENOENT' ? 'there is no such file; check the name' : `${code}; check what it is`
    throw new SwiftdError('INVALID_REQUEST', `--prompts-file ${file} cannot be read: ${why}.`, { cause: error })
  }
}
