import { randomBytes } from 'node:crypto'
import { accessSync, constants, statSync } from 'node:fs'
import { link, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { SwiftdError } from '../../engine/errors.js'

/** Where an image goes: a file that may replace an older one, a new file in the current directory, or stdout. */
export type OutputTarget =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'new-file'; readonly directory: string }
  | { readonly kind: 'stdout' }

/**
 * Reads the value of --output and checks that it can be written, before anything is computed.
 * @param output a path, `-` for stdout, or undefined for a new file in the current directory
 * @throws SwiftdError OUTPUT_NOT_WRITABLE
 */
export function checkOutput(output: string | undefined, currentDirectory = process.cwd()): OutputTarget {
  if (output === '-') return { kind: 'stdout' }
  if (output === undefined) {
    checkWritable(currentDirectory, currentDirectory)
    return { kind: 'new-file', directory: currentDirectory }
  }
  const path = resolve(currentDirectory, output)
  checkWritable(dirname(path), path)
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats?.isDirectory()) throw notWritable(path, 'it is a directory; name a file in it')
  if (stats) checkWritable(path, path)
  return { kind: 'file', path }
}

/** Writes the whole file or nothing: under another name first, which then replaces the old file, if there is one. */
export async function writeOutput(path: string, bytes: Uint8Array): Promise<void> {
  await withTemporaryFile(path, bytes, (temporary) => rename(temporary, path))
}

/**
 * Writes the whole file or nothing, to `name.extension`, or to `name-1.extension`, … where that name is taken.
 * @returns the path that it got
 */
export async function writeNewFile(
  directory: string,
  name: string,
  extension: string,
  bytes: Uint8Array,
): Promise<string> {
  const first = join(directory, `${name}${extension}`)
  return withTemporaryFile(first, bytes, async (temporary) => {
    for (let count = 0; ; count++) {
      const path = count === 0 ? first : join(directory, `${name}-${count}${extension}`)
      // Unlike a rename, a link never replaces a file, also not one that appears at this moment.
      if (await linked(temporary, path)) {
        await rm(temporary)
        return path
      }
    }
  })
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

async function withTemporaryFile<T>(
  path: string,
  bytes: Uint8Array,
  use: (temporary: string) => Promise<T>,
): Promise<T> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(4).toString('hex')}`)
  try {
    const file = await open(temporary, 'wx', 0o666)
    try {
      await file.writeFile(bytes)
    } finally {
      await file.close()
    }
    return await use(temporary)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw notWritable(path, `the system says ${codeOf(error)}`, error)
  }
}

function checkWritable(target: string, path: string): void {
  try {
    accessSync(target, constants.W_OK)
    if (target !== path && !statSync(target).isDirectory()) throw notWritable(path, `${target} is not a directory`)
  } catch (error) {
    if (error instanceof SwiftdError) throw error
    const code = codeOf(error)
    if (code === 'ENOENT') throw notWritable(path, `there is no directory ${target}`, error)
    if (code === 'ENOTDIR') throw notWritable(path, `${target} is not a directory`, error)
    throw notWritable(path, `${target} is not writable (${code})`, error)
  }
}

function notWritable(path: string, why: string, cause?: unknown): SwiftdError {
  return new SwiftdError('OUTPUT_NOT_WRITABLE', `Cannot write ${path}: ${why}.`, { cause })
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
