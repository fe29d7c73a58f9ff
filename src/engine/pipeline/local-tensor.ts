import { viewMemory } from '../memory/libc.js'
import { allocateNative } from '../memory/native-memory.js'
import { tensorBytes, type NativeTensor } from '../tensor.js'
import type { Tensor } from './stages.js'

/** A stage tensor in native memory of this process. */
export interface LocalTensor extends Tensor {
  readonly native: NativeTensor
}

/** Allocates a zeroed tensor that the networks of this process read and write. */
export function allocateTensor(dims: readonly number[]): LocalTensor {
  const memory = allocateNative(tensorBytes('float32', dims))
  return {
    dims,
    data: memory.floats,
    native: { type: 'float32', dims, address: memory.address },
    release: () => memory.release(),
  }
}

/** The native form of a tensor that `allocateTensor` made. */
export function nativeOf(tensor: Tensor): NativeTensor {
  if (!('native' in tensor)) throw new TypeError('This tensor belongs to other stages.')
  return (tensor as LocalTensor).native
}

/** Presents native memory that somebody else owns as a tensor of these stages. */
export function borrowTensor(native: NativeTensor): LocalTensor {
  const buffer = viewMemory(native.address, tensorBytes(native.type, native.dims))
  return { dims: native.dims, data: new Float32Array(buffer), native, release: () => undefined }
}
