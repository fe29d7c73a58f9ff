import { createHash, type Hash } from 'node:crypto'
import { constants, existsSync } from 'node:fs'
import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SwiftdError } from '../../../engine/errors.js'
import type { HubAddress } from './address.js'
import { explainHubFailure, isPassing } from './failures.js'
import type { HubFile } from './selection.js'
import type { HubSettings } from './settings.js'

export interface TransferContext {
  readonly address: HubAddress
  readonly commit: string
  readonly settings: HubSettings
  readonly signal?: AbortSignal
  /** Pause before the second attempt after a broken connection; each further one is twice as long. @default 1000 */
  readonly retryDelayMs?: number
}

/** Attempts in a row that bring nothing before the download is given up. */
const MAX_FRUITLESS_ATTEMPTS = 5
/** How often a file is begun from its first byte, where it is wrong when put together of several answers. */
const MAX_ROUNDS = 3
const DEFAULT_RETRY_DELAY_MS = 1_000
const READ_BYTES = 2 ** 20

/**
 * Downloads a file and verifies it. What has arrived is kept as `<target>.incomplete`: a broken connection, or a later
 * call, goes on from there. Two processes may download the same file at once: both write the same bytes to the same
 * places, and the first that has them all gives the file its name.
 * @param onProgress is told how many bytes of the file are there
 * @throws SwiftdError DOWNLOAD_FAILED, INVALID_WEIGHTS if the content is not what the hub lists, MODEL_NOT_FOUND
 */
export async function downloadVerified(
  file: HubFile,
  target: string,
  context: TransferContext,
  onProgress: (bytes: number) => void,
): Promise<void> {
  const partial = `${target}.incomplete`
  await onDisk(target, mkdir(dirname(target), { recursive: true }))
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const outcome = await fillPartial(file, partial, context, onProgress)
    if (outcome === 'complete') return publish(partial, target)
    await rm(partial, { force: true })
    // What an earlier call or a broken connection left may not fit to the rest: a download in one piece tells.
    if (outcome === 'wrong') break
  }
  const what = `${file.path} of ${context.address.repository} arrived with the wrong checksum`
  throw new SwiftdError(
    'INVALID_WEIGHTS',
    `${what} and was deleted; try again, and if that does not help, report it there.`,
  )
}

/** complete: with the right hash. pieced: wrong, and put together of several answers. wrong: wrong as it was sent. */
type Outcome = 'complete' | 'pieced' | 'wrong'

async function fillPartial(
  file: HubFile,
  path: string,
  context: TransferContext,
  onProgress: (bytes: number) => void,
): Promise<Outcome> {
  // Not truncated: another process may be writing to it.
  const handle = await onDisk(path, open(path, constants.O_RDWR | constants.O_CREAT))
  try {
    const hash = startHash(file)
    let position = await hashContent(handle, hash)
    let answers = position === 0 ? 0 : 1
    let fruitless = 0
    onProgress(position)
    while (position < file.size) {
      const before = position
      try {
        for await (const chunk of await contentFrom(file, position, context)) {
          if (position === before) answers++
          await onDisk(path, handle.write(chunk, 0, chunk.byteLength, position))
          hash.update(chunk)
          position += chunk.byteLength
          onProgress(position)
          if (position > file.size) break
        }
        if (position === before) throw new Error('it sent nothing')
      } catch (error) {
        fruitless = position > before ? 1 : fruitless + 1
        await pauseOrThrow(error, fruitless, context)
      }
    }
    await handle.sync()
    if (position === file.size && hash.digest('hex') === (file.sha256 ?? file.gitId)) return 'complete'
    return answers > 1 || position > file.size ? 'pieced' : 'wrong'
  } finally {
    await handle.close()
  }
}

/** The bytes of a file from a position on. */
async function contentFrom(
  file: HubFile,
  position: number,
  { address, commit, settings, signal }: TransferContext,
): Promise<AsyncIterable<Uint8Array>> {
  const { downloadFile } = await import('@huggingface/hub')
  const blob = await downloadFile({
    repo: address.repository,
    path: file.path,
    revision: commit,
    hubUrl: settings.endpoint,
    accessToken: settings.token,
    // Whole files over plain HTTP: they can be continued at any byte.
    xet: false,
    fetch: (input, init) => fetch(input, { ...init, signal }),
  })
  if (!blob) throw new SwiftdError('MODEL_NOT_FOUND', `${address.repository} has no file ${file.path}.`)
  return blob.slice(position).stream()
}

async function pauseOrThrow(error: unknown, fruitless: number, context: TransferContext): Promise<void> {
  const { address, settings, signal, retryDelayMs = DEFAULT_RETRY_DELAY_MS } = context
  signal?.throwIfAborted()
  if (!isPassing(error) || fruitless >= MAX_FRUITLESS_ATTEMPTS) throw explainHubFailure(error, address, settings)
  await sleep(retryDelayMs * 2 ** (fruitless - 1), undefined, { signal }).catch(() => undefined)
  signal?.throwIfAborted()
}

/** Large files are listed with their SHA-256, small ones with git's id: the SHA-1 of a header and the content. */
function startHash({ sha256, size }: HubFile): Hash {
  return sha256 === undefined ? createHash('sha1').update(`blob ${size}\0`) : createHash('sha256')
}

/** @returns how many bytes there are */
async function hashContent(handle: FileHandle, hash: Hash): Promise<number> {
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  for (let position = 0; ;) {
    const { bytesRead } = await handle.read(buffer, 0, READ_BYTES, position)
    if (bytesRead === 0) return position
    hash.update(buffer.subarray(0, bytesRead))
    position += bytesRead
  }
}

async function publish(partial: string, target: string): Promise<void> {
  await rename(partial, target).catch((error: unknown) => {
    // Another process was faster.
    if (!existsSync(target)) throw error
  })
}

async function onDisk<T>(path: string, action: Promise<T>): Promise<T> {
  return action.catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error)
    throw new SwiftdError('OUTPUT_NOT_WRITABLE', `Cannot write ${path}: ${reason}.`, { cause: error })
  })
}
