import type { Pointer } from '../memory/libc.js'
import { allocateNative, type NativeMemory } from '../memory/native-memory.js'
import type { NativeTensor } from '../tensor.js'
import type { SafetensorsFile, StoredTensor } from './safetensors.js'

/** The name and shape of a weight, as a graph asks for it. */
export interface WeightShape {
  readonly name: string
  readonly dims: readonly number[]
}

/** The floating-point tensors of one component, under the names that the graphs use (diffusers' and transformers'). */
export interface Weights {
  /** Where they come from, for messages. */
  readonly path: string
  /** The tensor of that name, or undefined where the file has none. */
  find(name: string): NativeTensor | undefined
  /** Unmaps the file; bindings of these weights must be released before. */
  close(): void
}

/** Where a graph's tensor lies in a file that has other names. */
export interface TensorSource {
  /** The file's name for the tensor. */
  readonly name: string
  /** Rows of the file's tensor that are meant, counted in parts: part `index` of `count` along the first axis. */
  readonly part?: { readonly index: number; readonly count: number }
  /** Whether the file keeps a matrix as a 1x1 convolution: trailing axes of size 1 are dropped. */
  readonly squeeze?: boolean
  /** Whether the file keeps the matrix transposed: the only case that is copied, and only small matrices have it. */
  readonly transpose?: boolean
}

/** Says under which name, and as which part, a file has the tensor that the graphs call `name`. */
export type NameMapping = (name: string) => TensorSource

/** Presents an open file of float32 or float16 tensors as weights. Fused tensors become views of their parts; only a transpose is a copy. */
export function weightsFromFile(file: SafetensorsFile, mapping: NameMapping = (name) => ({ name })): Weights {
  const copies = new Map<string, NativeMemory>()
  return {
    path: file.path,
    find(wanted) {
      const source = mapping(wanted)
      const stored = file.tensors.get(source.name)
      const type = stored && TYPES[stored.dtype]
      if (!type) return undefined
      const tensor = viewPart(stored, type, file.addressOf(stored), source)
      if (!source.transpose || tensor?.dims.length !== 2) return tensor
      const copy = copies.get(wanted) ?? transposed(ELEMENTS[type], file.bytesOf(stored), tensor.dims)
      copies.set(wanted, copy)
      return { type, dims: [...tensor.dims].reverse(), address: copy.address }
    },
    close() {
      copies.forEach((copy) => copy.release())
      file.close()
    },
  }
}

/** What the graphs' weights are bound from. */
const TYPES: Readonly<Partial<Record<string, 'float32' | 'float16'>>> = { F32: 'float32', F16: 'float16' }

/** The part of a stored tensor that a source means, as a view. */
function viewPart(
  { shape, byteLength }: StoredTensor,
  type: NativeTensor['type'],
  address: Pointer,
  { part, squeeze }: TensorSource,
): NativeTensor | undefined {
  if (!part && !squeeze) return { type, dims: shape, address }
  const dims = [...shape]
  if (squeeze) while (dims.length > 2 && dims[dims.length - 1] === 1) dims.pop()
  if (!part) return { type, dims, address }
  if (dims[0] % part.count !== 0) return undefined
  dims[0] /= part.count
  return { type, dims, address: address + BigInt((byteLength / part.count) * part.index) }
}

/** As wide as the values, which are only moved. */
const ELEMENTS = { float32: Uint32Array, float16: Uint16Array } as const

function transposed(
  Elements: (typeof ELEMENTS)[keyof typeof ELEMENTS],
  bytes: Uint8Array,
  [rows, columns]: readonly number[],
): NativeMemory {
  const memory = allocateNative(bytes.byteLength)
  // A slice starts at an aligned address, wherever the tensor lies in the file.
  const [from, to] = [new Elements(bytes.slice().buffer), new Elements(memory.buffer, 0, rows * columns)]
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) to[column * rows + row] = from[row * columns + column]
  }
  return memory
}
