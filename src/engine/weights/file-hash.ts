import { createHash, randomUUID } from 'node:crypto'
import { statSync, type BigIntStats } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { SwiftdError } from '../errors.js'

/** Small enough to leave the event loop free between two pieces (about a millisecond each). */
const CHUNK_BYTES = 2 ** 20

/** A file changed this recently may change again within the resolution of its time stamp, so its hash is not kept. */
const SETTLED_MS = 2_000

/** The most remembered hashes: one for each model file, each a file of 64 bytes. */
const MAX_REMEMBERED = 4_096

/**
 * The SHA-256 of a file in hex. Remembered in `cacheDirectory` by device, inode, size and modification time of the real
 * file, so that an unchanged file is read once only; a directory that cannot be written only costs the memory.
 * A1111's "Model hash" is the first ten digits.
 * @throws SwiftdError INVALID_WEIGHTS if the file cannot be read or changes meanwhile
 */
export async function sha256OfFile(path: string, cacheDirectory: string): Promise<string> {
  const index = join(cacheDirectory, 'hashes')
  const handle = await open(path).catch((error: unknown) => {
    throw new SwiftdError('INVALID_WEIGHTS', `Cannot read ${path}: ${messageOf(error)}.`, { cause: error })
  })
  try {
    const before = await handle.stat({ bigint: true })
    const key = identityOf(before)
    const remembered = await recall(index, key)
    if (remembered !== undefined) return remembered
    const hash = await hashHandle(handle, path)
    const after = await handle.stat({ bigint: true })
    if (identityOf(after) !== key) {
      throw new SwiftdError('INVALID_WEIGHTS', `${path} changed while it was read. Try again when it is complete.`)
    }
    if (Date.now() - Number(after.mtimeMs) > SETTLED_MS) await remember(index, key, hash)
    return hash
  } finally {
    await handle.close()
  }
}

/** What tells a file's content without reading it. Throws the system's error if there is no such file. */
export function identifyFile(path: string): string {
  return identityOf(statSync(path, { bigint: true }))
}

function identityOf({ dev, ino, size, mtimeNs }: BigIntStats): string {
  return `${dev}-${ino}-${size}-${mtimeNs}`
}

async function hashHandle(handle: FileHandle, path: string): Promise<string> {
  const hash = createHash('sha256')
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, CHUNK_BYTES).catch((error: unknown) => {
      throw new SwiftdError('INVALID_WEIGHTS', `Cannot read ${path}: ${messageOf(error)}.`, { cause: error })
    })
    if (bytesRead === 0) return hash.digest('hex')
    hash.update(buffer.subarray(0, bytesRead))
  }
}

/** One file for each remembered hash: several processes may write at once, and nothing has to be merged. */
async function recall(index: string, key: string): Promise<string | undefined> {
  const text = await readFile(join(index, key), 'utf8').catch(() => '')
  return /^[0-9a-f]{64}$/.test(text) ? text : undefined
}

async function remember(index: string, key: string, hash: string): Promise<void> {
  const temporary = join(index, `${key}.${randomUUID()}.tmp`)
  try {
    await mkdir(index, { recursive: true })
    await writeFile(temporary, hash)
    await rename(temporary, join(index, key))
    await forgetOldest(index)
  } catch {
    // The hash itself is right; only the next caller has to compute it again.
    await rm(temporary, { force: true }).catch(() => undefined)
  }
}

async function forgetOldest(index: string): Promise<void> {
  const names = await readdir(index)
  if (names.length <= MAX_REMEMBERED) return
  const aged = await Promise.all(names.map(async (name) => ({ name, age: (await stat(join(index, name))).mtimeMs })))
  aged.sort((a, b) => a.age - b.age)
  // A quarter at once, so that this is rare.
  for (const { name } of aged.slice(0, MAX_REMEMBERED / 4)) await rm(join(index, name), { force: true })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
