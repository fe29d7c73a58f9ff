import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { SwiftdError } from '../../engine/errors.js'
import { MAX_REQUEST_BYTES } from '../../daemon/protocol/limits.js'

/** A picture's file as a request carries it. */
export interface PictureFile {
  /** Base64. */
  readonly data: string
  /** In full. */
  readonly path: string
}

/** Base64 takes four characters for three bytes. */
const MAX_FILE_BYTES = (MAX_REQUEST_BYTES * 3) / 4

/**
 * Reads a picture that a flag names. What is in the file is the daemon's to judge.
 * @param flag as it is written, for the error
 * @throws SwiftdError INVALID_REQUEST if there is no such file, or it cannot be read
 */
export async function readPictureFile(flag: string, file: string): Promise<PictureFile> {
  const path = resolve(file)
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new SwiftdError('INVALID_REQUEST', `${flag}: ${reasonOf(error, path)}.`, { cause: error })
  })
  if (bytes.length > MAX_FILE_BYTES) {
    const sizes = `${path} has ${Math.ceil(bytes.length / 2 ** 20)} MiB, and ${MAX_FILE_BYTES / 2 ** 20} MiB are the most`
    throw new SwiftdError('INVALID_REQUEST', `${flag}: ${sizes}; scale the picture down or save it as JPEG.`)
  }
  return { data: bytes.toString('base64'), path }
}

function reasonOf(error: unknown, path: string): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
  if (code === 'ENOENT' || code === 'ENOTDIR') return `there is no file ${path}; check the name`
  if (code === 'EISDIR') return `${path} is a directory; name a picture in it`
  return `${path} cannot be read (${code}); check who may read it`
}
