import type { Pointer } from './memory/libc.js'

/** Bytes per element of the types that networks compute in. */
const ELEMENT_BYTES = { float32: 4, float16: 2, bfloat16: 2, int64: 8 } as const

export type ElementType = keyof typeof ELEMENT_BYTES

/** A dense row-major tensor in native memory that somebody else owns: a mapped file, the arena, an allocation. */
export interface NativeTensor {
  readonly type: ElementType
  readonly dims: readonly number[]
  readonly address: Pointer
}

/** Number of elements. */
export function elementCount(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1)
}

/** Bytes that a tensor of these dims takes. */
export function tensorBytes(type: ElementType, dims: readonly number[]): number {
  return elementCount(dims) * ELEMENT_BYTES[type]
}

/** Joins values behind each other, in a new array. */
export function concatenate(parts: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of parts) {
    joined.set(part, offset)
    offset += part.length
  }
  return joined
}
