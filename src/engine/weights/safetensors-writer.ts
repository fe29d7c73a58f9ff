import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import { ELEMENT_BYTES, type StoredDtype } from './safetensors.js'

/** A tensor to write. */
export interface TensorSource {
  readonly name: string
  readonly dtype: StoredDtype
  readonly shape: readonly number[]
  /** The row-major little-endian bytes, in pieces. Each piece is written before the next is asked for. */
  chunks(): Iterable<Uint8Array> | AsyncIterable<Uint8Array>
}

/** Where everything of a file lies. */
export interface SafetensorsLayout {
  readonly header: Buffer
  /** In the order in which they are written. */
  readonly tensors: readonly TensorSource[]
  /** Size of the whole file. */
  readonly byteLength: number
}

/** The data begins at a multiple of this, so that a mapped file's wider tensors are aligned. */
const DATA_ALIGNMENT = 64

/** Written data goes to the disk in portions, so that the last wait is a short one. */
const SYNC_BYTES = 256 * 2 ** 20

/**
 * Lays a file out: wider elements first, so that every tensor is aligned to its element though the format allows no gaps
 * (the reference implementation does the same).
 */
export function layOut(
  sources: readonly TensorSource[],
  metadata: Readonly<Record<string, string>>,
): SafetensorsLayout {
  const tensors = sources.toSorted((a, b) => ELEMENT_BYTES[b.dtype] - ELEMENT_BYTES[a.dtype])
  const names = new Set(tensors.map(({ name }) => name))
  if (names.size < tensors.length || names.has('__metadata__')) throw new RangeError('two tensors have the same name')
  const entries: [string, unknown][] = []
  if (Object.keys(metadata).length > 0) entries.push(['__metadata__', metadata])
  let position = 0
  for (const tensor of tensors) {
    const end = position + byteLengthOf(tensor)
    entries.push([tensor.name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [position, end] }])
    position = end
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)))
  const dataOffset = Math.ceil((8 + json.length) / DATA_ALIGNMENT) * DATA_ALIGNMENT
  const header = Buffer.alloc(dataOffset, ' ')
  header.writeBigUInt64LE(BigInt(dataOffset - 8))
  json.copy(header, 8)
  return { header, tensors, byteLength: dataOffset + position }
}

/** Writes a laid-out file to an empty open file and waits until the disk has it. */
export async function writeLayout(handle: FileHandle, { header, tensors }: SafetensorsLayout): Promise<void> {
  await writeAll(handle, header)
  let unsynced = header.length
  for (const tensor of tensors) {
    let written = 0
    for await (const chunk of tensor.chunks()) {
      await writeAll(handle, chunk)
      written += chunk.length
      unsynced += chunk.length
      if (unsynced >= SYNC_BYTES) {
        await handle.datasync()
        unsynced = 0
      }
    }
    const expected = byteLengthOf(tensor)
    if (written !== expected) throw new RangeError(`tensor ${tensor.name} gave ${written} bytes instead of ${expected}`)
  }
  await handle.sync()
}

/**
 * Writes a safetensors file of any size without holding it in memory. It appears under `path` when it is complete; after an
 * error nothing is left.
 * @throws the system's error (ENOSPC, EACCES, …) if it cannot be written
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorSource[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`
  try {
    const handle = await open(temporary, 'wx')
    try {
      await writeLayout(handle, layOut(tensors, metadata))
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

function byteLengthOf({ dtype, shape }: TensorSource): number {
  return shape.reduce((product, dim) => product * dim, ELEMENT_BYTES[dtype])
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let position = 0; position < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, position, bytes.length - position)
    position += bytesWritten
  }
}
