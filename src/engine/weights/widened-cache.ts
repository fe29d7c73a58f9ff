import { existsSync } from 'node:fs'
import { mkdir, open, readdir, rm, stat, utimes, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { SwiftdError } from '../errors.js'
import { identifyFile, sha256OfFile } from './file-hash.js'
import { isFloat, widenInto } from './half.js'
import { publishOnce, removeAbandoned } from './publish-once.js'
import { layOut, writeLayout, type TensorSource } from './safetensors-writer.js'
import { ELEMENT_BYTES, ofLayout, openSafetensors, type SafetensorsFile, type StoredTensor } from './safetensors.js'

export interface WidenedCacheOptions {
  /** Where float32 copies and hashes are kept; made if it is not there. One for all processes of a user. */
  readonly cacheDirectory: string
  /** The copies' total size in bytes; beyond it those unused for longest are removed. @default 64 GiB */
  readonly maxBytes?: number
}

const DEFAULT_MAX_BYTES = 64 * 2 ** 30

/** Elements that are converted at once: a few milliseconds, after which the event loop is free for the write. */
const CHUNK_ELEMENTS = 2 ** 20

/** A copy used this recently is about to be mapped, or belongs to a model that is being loaded: it is not removed. */
const NEEDED_NOW_MS = 10_000

/** How often a copy that is damaged, or was removed before it could be mapped, is made again. */
const MAX_ATTEMPTS = 3

/**
 * Opens a .safetensors file with all its floating-point tensors as float32, 4-byte aligned, as the CPU needs them.
 *
 * A file that is so already is mapped as it is. Of any other, a copy is made once in the cache directory and mapped,
 * under a name made from the content's hash: every process that opens the same weights shares one copy's pages. Integer
 * tensors are kept. A copy that is removed to stay within `maxBytes` remains valid where it is mapped.
 * @returns the file; its `path` is the given one
 * @throws SwiftdError INVALID_WEIGHTS if the file is not valid; OUTPUT_NOT_WRITABLE if the copy cannot be written, of which
 * nothing is left then
 */
export async function openAsFloat32(path: string, options: WidenedCacheOptions): Promise<SafetensorsFile> {
  // Taken before the header is read, so that the header and the data are known to belong together.
  const identity = existsSync(path) ? identifyFile(path) : undefined
  const source = openSafetensors(path)
  if (isUsableAsFloat32(source)) return source
  try {
    return await openCopyOf(source, identity, options)
  } finally {
    source.close()
  }
}

/** True for a file that `openAsFloat32` maps as it is. */
export const isUsableAsFloat32 = ofLayout((file) =>
  [...file.tensors.values()].every(({ dtype, offset }) => !isFloat(dtype) || (dtype === 'F32' && offset % 4 === 0)),
)

async function openCopyOf(source: SafetensorsFile, identity: string | undefined, options: WidenedCacheOptions) {
  const { cacheDirectory, maxBytes = DEFAULT_MAX_BYTES } = options
  const directory = join(cacheDirectory, 'float32')
  for (let attempt = 1; ; attempt++) {
    const name = `${await sha256OfFile(source.path, cacheDirectory)}.safetensors`
    await makeCopy(source, identity, directory, name, maxBytes)
    const copy = join(directory, name)
    try {
      const file = openSafetensors(copy)
      const now = new Date()
      await utimes(copy, now, now).catch(() => undefined)
      return { ...file, path: source.path }
    } catch (error) {
      if (attempt === MAX_ATTEMPTS) throw error
      await rm(copy, { force: true })
    }
  }
}

async function makeCopy(
  source: SafetensorsFile,
  identity: string | undefined,
  directory: string,
  name: string,
  maxBytes: number,
): Promise<void> {
  const { byteLength } = layOut(widenedTensors(source), source.metadata)
  try {
    await mkdir(directory, { recursive: true })
    await publishOnce(directory, name, async (temporary) => {
      await removeAbandoned(directory)
      await makeRoom(directory, byteLength, maxBytes)
      await writeCopy(source, temporary)
      if (identifyFile(source.path) !== identity) {
        const message = `${source.path} changed while it was converted. Try again when it is complete.`
        throw new SwiftdError('INVALID_WEIGHTS', message)
      }
    })
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error
    const size = `${Math.ceil(byteLength / 2 ** 20)} MiB`
    const message = `Cannot keep the float32 copy of ${source.path} (${size}) in ${directory}: ${error.message}.`
    throw new SwiftdError('OUTPUT_NOT_WRITABLE', `${message} Free some space or set another cache directory.`, {
      cause: error,
    })
  }
}

async function writeCopy(source: SafetensorsFile, temporary: string): Promise<void> {
  const input = await open(source.path)
  try {
    const output = await open(temporary, 'r+')
    try {
      await writeLayout(output, layOut(widenedTensors(source, input), source.metadata))
    } finally {
      await output.close()
    }
  } finally {
    await input.close()
  }
}

/** The tensors of the copy. Without `input` only their layout is of use. */
function widenedTensors(source: SafetensorsFile, input?: FileHandle): TensorSource[] {
  return Array.from(source.tensors.values(), (tensor) => ({
    name: tensor.name,
    dtype: isFloat(tensor.dtype) ? 'F32' : tensor.dtype,
    shape: tensor.shape,
    chunks: () => (input ? widenedChunks(tensor, input) : []),
  }))
}

/**
 * A tensor's converted bytes, piece by piece. They are read rather than taken from the mapping: a page that is not in
 * memory yet would stop the event loop until the disk has it.
 */
async function* widenedChunks(tensor: StoredTensor, input: FileHandle): AsyncGenerator<Uint8Array> {
  const { dtype, offset, byteLength } = tensor
  const pieceBytes = Math.min(CHUNK_ELEMENTS * ELEMENT_BYTES[dtype], byteLength)
  // A buffer of its own is aligned for every element; one from Node's pool is not.
  const bytes = new Uint8Array(new ArrayBuffer(pieceBytes))
  const floats = new Float32Array(isFloat(dtype) ? pieceBytes / ELEMENT_BYTES[dtype] : 0)
  for (let position = 0; position < byteLength; position += pieceBytes) {
    const piece = bytes.subarray(0, Math.min(pieceBytes, byteLength - position))
    await readFully(input, piece, offset + position)
    if (!isFloat(dtype)) yield piece
    else {
      const widened = floats.subarray(0, piece.length / ELEMENT_BYTES[dtype])
      widenInto(widened, piece, dtype)
      yield new Uint8Array(widened.buffer, 0, widened.byteLength)
    }
  }
}

async function readFully(input: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let position = 0; position < bytes.length;) {
    const { bytesRead } = await input.read(bytes, position, bytes.length - position, offset + position)
    if (bytesRead === 0) throw new SwiftdError('INVALID_WEIGHTS', 'The weights file was cut short while it was read.')
    position += bytesRead
  }
}

/** Removes the copies that were not used for longest until `needed` more bytes fit, as far as that goes. */
async function makeRoom(directory: string, needed: number, maxBytes: number): Promise<void> {
  const files = await Promise.all(
    (await readdir(directory)).map(async (name) => {
      const stats = await stat(join(directory, name)).catch(() => undefined)
      return { path: join(directory, name), bytes: stats?.size ?? 0, used: stats?.mtimeMs ?? 0 }
    }),
  )
  let total = files.reduce((sum, { bytes }) => sum + bytes, 0)
  const idle = files.filter(({ path, used }) => path.endsWith('.safetensors') && Date.now() - used > NEEDED_NOW_MS)
  for (const { path, bytes } of idle.sort((a, b) => a.used - b.used)) {
    if (total + needed <= maxBytes) return
    await rm(path, { force: true })
    total -= bytes
  }
}
