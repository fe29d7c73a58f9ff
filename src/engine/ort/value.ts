import { viewMemory, type Pointer } from '../memory/libc.js'
import { elementCount, tensorBytes, type ElementType, type NativeTensor } from '../tensor.js'
import { ortApi } from './api.js'
import { own, outPointer, type NativeHandle } from './native.js'
import type { Provider } from './provider.js'

/** A tensor in the memory of a device, as a value of the runtime. */
export interface ValueTensor {
  readonly type: ElementType
  readonly dims: readonly number[]
  readonly value: NativeHandle
}

/** A tensor where a device reads it: memory of the host, or a value of the runtime in the device's own. */
export type DeviceTensor = NativeTensor | ValueTensor

/** Whether a tensor is a value of the runtime. */
export function isValue(tensor: DeviceTensor): tensor is ValueTensor {
  return 'value' in tensor
}

/** The runtime's ONNXTensorElementDataType. */
const TYPE_CODES: Record<ElementType, number> = { float32: 1, int64: 7, float16: 10, bfloat16: 16 }

const ARENA_ALLOCATOR = 1
const MEMORY_DEFAULT = 0
const memoryInfos = new Map<Provider['memory'], NativeHandle>()

/** The runtime's name for memory, which the host's or the process's one device has; made once and kept. */
export function memoryInfo(memory: Provider['memory']): Pointer {
  const info =
    memoryInfos.get(memory) ??
    own(
      'memory info',
      outPointer((out) => ortApi().CreateMemoryInfo(memory, ARENA_ALLOCATOR, 0, MEMORY_DEFAULT, out)),
      (pointer) => ortApi().ReleaseMemoryInfo(pointer),
    )
  memoryInfos.set(memory, info)
  return info.pointer
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
export function withTensorValue(tensor: NativeTensor, use: (value: Pointer) => void): void {
  const value = valueOver(tensor, 'Cpu')
  try {
    use(value)
  } finally {
    ortApi().ReleaseValue(value)
  }
}

/**
 * The same elements in other dims, not copied. The given tensor must live for as long as the view.
 * @param memory where the tensor lies
 */
export function viewValue(
  { type, value }: ValueTensor,
  dims: readonly number[],
  memory: Provider['memory'],
): ValueTensor {
  const view = valueOver({ type, dims, address: valuePointer(value) }, memory)
  return { type, dims, value: own('view', view, (pointer) => ortApi().ReleaseValue(pointer)) }
}

/** A value over memory that somebody else owns. */
function valueOver({ type, dims, address }: NativeTensor, memory: Provider['memory']): Pointer {
  const rank = dims.length
  if (rank > MAX_RANK) throw new RangeError(`a tensor of ${rank} dims cannot be bound, at most ${MAX_RANK}`)
  for (let axis = 0; axis < rank; axis++) scratchDims[axis] = BigInt(dims[axis])
  const [info, bytes] = [memoryInfo(memory), tensorBytes(type, dims)]
  ortApi().CreateTensorWithDataAsOrtValue(info, address, bytes, scratchDims, rank, TYPE_CODES[type], scratchValue)
  return scratchValue[0]
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

/** Where a value's elements lie, in the memory that it is in; valid until the value is released. */
export function valuePointer(value: NativeHandle): Pointer {
  return outPointer((out) => ortApi().GetTensorMutableData(value.pointer, out))
}

/** A view of a float32 value of the host's memory, valid until the value is released. */
export function valueFloats(value: NativeHandle): Float32Array {
  return new Float32Array(viewMemory(valuePointer(value), elementCount(valueDims(value)) * 4))
}
