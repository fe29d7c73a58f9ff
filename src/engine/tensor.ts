import type { Pointer } from './memory/libc.js'

/** Bytes per element of the types that networks compute in. */
const ELEMENT_BYTES = { float32: 4, float16: 2, int64: 8 } as const

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
