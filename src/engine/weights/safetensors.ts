import { isUtf8 } from 'node:buffer'
import { statSync } from 'node:fs'
import { LRUCache } from 'lru-cache'
import { SwiftdError } from '../errors.js'
import { mapFile, MAX_VIEW_BYTES, type MappedFile } from '../memory/mapped-file.js'
import type { Pointer } from '../memory/libc.js'

/** Bytes per element of the dtypes that are read. */
export const ELEMENT_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
} as const

export type StoredDtype = keyof typeof ELEMENT_BYTES

/** One tensor as it lies in a file. */
export interface StoredTensor {
  readonly name: string
  readonly dtype: StoredDtype
  readonly shape: readonly number[]
  /** Where the first element lies in the file. */
  readonly offset: number
  readonly byteLength: number
}

/** What a header says. */
interface Layout {
  /** The `__metadata__` of the header. */
  readonly metadata: Readonly<Record<string, string>>
  readonly tensors: ReadonlyMap<string, StoredTensor>
}

export interface SafetensorsFile extends Layout {
  readonly path: string
  /** Address of a tensor's first element; valid until the file is closed. */
  addressOf(tensor: StoredTensor): Pointer
  /** The tensor's bytes, without a copy: every call makes a view of its own. */
  bytesOf(tensor: StoredTensor): Uint8Array
  /** Unmaps the file: every address and view becomes invalid. */
  close(): void
}

/** The reference implementation's own limit; a longer header is an attack or garbage. */
const MAX_HEADER_BYTES = 100_000_000

/**
 * Opens a .safetensors file by mapping it; no tensor data is read.
 *
 * The checks are those of the format's reference implementation (https://github.com/huggingface/safetensors): a bounded
 * header, known dtypes, and tensors that fill the data section without gaps or overlaps.
 * @throws SwiftdError INVALID_WEIGHTS if the file is not what it says it is
 */
export function openSafetensors(path: string): SafetensorsFile {
  const file = mapOrExplain(path)
  try {
    const header = readHeader(path, file)
    const { metadata, tensors } = recall(path, file, header) ?? readLayout(path, file, header)
    return {
      path,
      metadata,
      tensors,
      addressOf: (tensor) => file.address + BigInt(tensor.offset),
      bytesOf: (tensor) => file.view(tensor.offset, tensor.byteLength),
      close: () => file.close(),
    }
  } catch (error) {
    file.close()
    throw error
  }
}

/**
 * A function of what a file's header says, not of its data, which remembers its result for as long as the header's layout
 * is known: models that are opened again and again are looked at once.
 */
export function ofLayout<T>(derive: (file: SafetensorsFile) => T): (file: SafetensorsFile) => T {
  const results = new WeakMap<SafetensorsFile['tensors'], { readonly value: T }>()
  return (file) => {
    const result = results.get(file.tensors) ?? { value: derive(file) }
    results.set(file.tensors, result)
    return result.value
  }
}

/** A float32 tensor's values without a copy, or a copy where the file does not align them. */
export function float32Values(file: SafetensorsFile, tensor: StoredTensor): Float32Array {
  if (tensor.dtype !== 'F32') throw new TypeError(`${tensor.name} is ${tensor.dtype}, not F32`)
  const bytes = file.bytesOf(tensor)
  // The view begins at the tensor's address itself, and V8 demands alignment of the offset only; processors want both.
  // Mappings begin at a page, so the offset in the file tells.
  if (tensor.offset % 4 === 0) return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
  return new Float32Array(bytes.slice().buffer)
}

interface KnownLayout extends Layout {
  /** A copy of the header that says it. */
  readonly header: Buffer
  readonly fileBytes: number
}

/**
 * The layouts of the last files, since a checkpoint's thousand entries take longer to parse and check than the file takes
 * to map and bind, and a single file is opened once for each of its networks. A layout is taken again only where the
 * header is the same byte by byte and the file has the same size, which is all that it depends on.
 */
const knownLayouts = new LRUCache<string, KnownLayout>({
  maxSize: 16 * 2 ** 20,
  sizeCalculation: ({ header }) => header.length,
})

function recall(path: string, file: MappedFile, header: Uint8Array): Layout | undefined {
  const known = knownLayouts.get(path)
  return known?.fileBytes === file.byteLength && known.header.equals(header) ? known : undefined
}

function readLayout(path: string, file: MappedFile, header: Uint8Array): Layout {
  const json = parseHeader(path, header)
  const layout = { metadata: readMetadata(json), tensors: readTensors(path, file, json, 8 + header.length) }
  if (header.length > 0) knownLayouts.set(path, { ...layout, header: Buffer.from(header), fileBytes: file.byteLength })
  return layout
}

function mapOrExplain(path: string): MappedFile {
  try {
    // Looked at before it is opened: opening a named pipe would wait for its other end.
    const stats = statSync(path)
    if (stats.isDirectory()) throw new Error('it is a directory')
    if (!stats.isFile()) throw new Error('it is not a regular file')
    if (stats.size === 0) throw new Error('it is empty')
    return mapFile(path)
  } catch (error) {
    const reason = describeReason(error)
    const message = `Cannot read the weights file ${path}: ${reason}. Give the path of a readable .safetensors file.`
    throw new SwiftdError('INVALID_WEIGHTS', message, { cause: error })
  }
}

function describeReason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'it does not exist'
  if (code === 'EACCES') return 'you may not read it'
  return error instanceof Error ? error.message : String(error)
}

/** The header's bytes, not parsed. */
function readHeader(path: string, file: MappedFile): Uint8Array {
  if (file.byteLength < 8) throw invalid(path, `it has ${file.byteLength} bytes, too few for a header`)
  const prefix = file.view(0, 8)
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true)
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw invalid(path, `its header claims ${length} bytes, more than the allowed ${MAX_HEADER_BYTES}`)
  }
  const headerBytes = Number(length)
  if (8 + headerBytes > file.byteLength) {
    throw invalid(path, `its header claims ${headerBytes} bytes, but the file has only ${file.byteLength}`)
  }
  return file.view(8, headerBytes)
}

function parseHeader(path: string, header: Uint8Array): Record<string, unknown> {
  let json: unknown
  try {
    // As strict as a fatal TextDecoder and several times as fast.
    if (!isUtf8(header)) throw new TypeError('it is not UTF-8')
    json = JSON.parse(Buffer.from(header.buffer, header.byteOffset, header.byteLength).toString('utf8'))
  } catch (error) {
    throw invalid(path, 'its header is not JSON', error)
  }
  if (!isRecord(json)) throw invalid(path, 'its header is not a JSON object')
  return json
}

function readTensors(
  path: string,
  file: MappedFile,
  json: Record<string, unknown>,
  dataOffset: number,
): Map<string, StoredTensor> {
  const dataBytes = file.byteLength - dataOffset
  const spans: { begin: number; end: number; name: string }[] = []
  const tensors = new Map<string, StoredTensor>()
  for (const name of Object.keys(json)) {
    if (name === '__metadata__') continue
    const { dtype, shape, begin, end } = readEntry(path, name, json[name])
    if (end > dataBytes) {
      throw invalid(path, `tensor ${quote(name)} ends at byte ${end} of ${dataBytes}; the file is truncated`)
    }
    if (end - begin > MAX_VIEW_BYTES) throw invalid(path, `tensor ${quote(name)} has more than 4 GiB`)
    spans.push({ begin, end, name })
    tensors.set(name, { name, dtype, shape, offset: dataOffset + begin, byteLength: end - begin })
  }
  checkCoverage(path, spans, dataBytes)
  return tensors
}

function readEntry(path: string, name: string, entry: unknown) {
  if (!isRecord(entry)) throw invalid(path, `the entry of tensor ${quote(name)} is not an object`)
  const { dtype, shape, data_offsets: offsets } = entry
  if (typeof dtype !== 'string' || !Object.hasOwn(ELEMENT_BYTES, dtype)) {
    throw invalid(path, `tensor ${quote(name)} has the unknown dtype ${quote(dtype)}`)
  }
  if (!isCounts(shape)) throw invalid(path, `tensor ${quote(name)} has the impossible shape ${quote(shape)}`)
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw invalid(path, `tensor ${quote(name)} has the impossible offsets ${quote(offsets)}`)
  }
  const [begin, end] = offsets
  const expected = shape.reduce((product, dim) => product * dim, ELEMENT_BYTES[dtype as StoredDtype])
  if (!Number.isSafeInteger(expected))
    throw invalid(path, `tensor ${quote(name)} has the impossible shape ${quote(shape)}`)
  if (end - begin !== expected) {
    throw invalid(path, `tensor ${quote(name)} of shape ${quote(shape)} needs ${expected} bytes but has ${end - begin}`)
  }
  return { dtype: dtype as StoredDtype, shape, begin, end }
}

function checkCoverage(path: string, spans: { begin: number; end: number; name: string }[], dataBytes: number): void {
  spans.sort((a, b) => a.begin - b.begin || a.end - b.end)
  let position = 0
  for (const { begin, end, name } of spans) {
    if (begin !== position) {
      throw invalid(path, `tensor ${quote(name)} begins at byte ${begin} where byte ${position} was expected`)
    }
    position = end
  }
  if (position !== dataBytes) {
    throw invalid(path, `its tensors end at byte ${position}, but its data has ${dataBytes} bytes`)
  }
}

function readMetadata(json: Record<string, unknown>): Record<string, string> {
  const metadata = json.__metadata__
  if (!isRecord(metadata)) return {}
  return Object.fromEntries(
    Object.entries(metadata).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

/** A value of the file for a message, of readable length whatever the file holds. */
function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length <= 80 ? text : `${text.slice(0, 80)}…`
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && (item as number) >= 0)
}

function invalid(path: string, what: string, cause?: unknown): SwiftdError {
  return new SwiftdError('INVALID_WEIGHTS', `${path} is not a valid safetensors file: ${what}. Download it again.`, {
    cause,
  })
}
