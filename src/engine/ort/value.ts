import { viewMemory, type Pointer } from '../memory/libc.js'
import { elementCount, tensorBytes, type ElementType, type NativeTensor } from '../tensor.js'
import { ortApi } from './api.js'
import { own, outPointer, type NativeHandle } from './native.js'

/** The runtime's ONNXTensorElementDataType. */
const TYPE_CODES: Record<ElementType, number> = { float32: 1, int64: 7, float16: 10, bfloat16: 16 }

const ARENA_ALLOCATOR = 1
const MEMORY_DEFAULT = 0
let cpuMemory: NativeHandle | undefined

/** The runtime's name for host memory; made once and kept. */
export function cpuMemoryInfo(): Pointer {
  cpuMemory ??= own(
    'memory info',
    outPointer((out) => ortApi().CreateMemoryInfo('Cpu', ARENA_ALLOCATOR, 0, MEMORY_DEFAULT, out)),
    (pointer) => ortApi().ReleaseMemoryInfo(pointer),
  )
  return cpuMemory.pointer
}

/**
 * Reused for every value, since a weights file has a thousand: the foreign-function layer takes ten microseconds to pin a
 * new typed array, and a fraction of one for the whole call with a known one.
 */
const MAX_RANK = 16
const scratchDims = new BigInt64Array(MAX_RANK)
const scratchValue = new BigUint64Array(1)

/**
 * Calls `use` with a tensor as a value of the runtime, without copying it, and releases the value.
 * The memory must stay valid until every binding that the value was bound to is released.
 */
export function withTensorValue({ type, dims, address }: NativeTensor, use: (value: Pointer) => void): void {
  const api = ortApi()
  const rank = dims.length
  if (rank > MAX_RANK) throw new RangeError(`a tensor of ${rank} dims cannot be bound, at most ${MAX_RANK}`)
  for (let axis = 0; axis < rank; axis++) scratchDims[axis] = BigInt(dims[axis])
  const bytes = tensorBytes(type, dims)
  const info = cpuMemoryInfo()
  api.CreateTensorWithDataAsOrtValue(info, address, bytes, scratchDims, rank, TYPE_CODES[type], scratchValue)
  const [value] = scratchValue
  try {
    use(value)
  } finally {
    api.ReleaseValue(value)
  }
}

/** The dims of a value that the runtime made. */
export function valueDims(value: NativeHandle): number[] {
  const api = ortApi()
  const info = outPointer((out) => api.GetTensorTypeAndShape(value.pointer, out))
  try {
    const count: [number] = [0]
    api.GetDimensionsCount(info, count)
    const dims = new BigInt64Array(Number(count[0]))
    if (dims.length > 0) api.GetDimensions(info, dims, dims.length)
    return Array.from(dims, Number)
  } finally {
    api.ReleaseTensorTypeAndShapeInfo(info)
  }
}

/** Where a value's elements lie in host memory; valid until the value is released. */
export function valuePointer(value: NativeHandle): Pointer {
  return outPointer((out) => ortApi().GetTensorMutableData(value.pointer, out))
}

/** A view of a float32 value's memory, valid until the value is released. */
export function valueFloats(value: NativeHandle): Float32Array {
  return new Float32Array(viewMemory(valuePointer(value), elementCount(valueDims(value)) * 4))
}
