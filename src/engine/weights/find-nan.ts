import { setImmediate } from 'node:timers/promises'
import { isFloat, widenInto, type FloatDtype } from './half.js'
import { ELEMENT_BYTES, openSafetensors, type SafetensorsFile, type StoredTensor } from './safetensors.js'

/** Elements that are looked at before the event loop has its turn: a few milliseconds. */
const CHUNK_ELEMENTS = 2 ** 20

/**
 * The name of the first tensor in a file that has a value which is no finite number, or undefined if all are. Reads the
 * whole file, so it is for explaining a result that went wrong, not for every load.
 * @throws SwiftdError INVALID_WEIGHTS if the file is not valid
 */
export async function findNonFinite(path: string): Promise<string | undefined> {
  const file = openSafetensors(path)
  try {
    for (const tensor of file.tensors.values()) {
      if (isFloat(tensor.dtype) && (await hasNonFinite(file, tensor, tensor.dtype))) return tensor.name
    }
    return undefined
  } finally {
    file.close()
  }
}

async function hasNonFinite(file: SafetensorsFile, tensor: StoredTensor, dtype: FloatDtype): Promise<boolean> {
  const bytes = file.bytesOf(tensor)
  const step = CHUNK_ELEMENTS * ELEMENT_BYTES[dtype]
  for (let from = 0; from < bytes.byteLength; from += step) {
    // A copy is aligned, wherever the tensor lies in the file.
    const chunk = bytes.slice(from, from + step)
    const values = new Float32Array(chunk.byteLength / ELEMENT_BYTES[dtype])
    widenInto(values, chunk, dtype)
    if (!allFinite(values)) return true
    await setImmediate()
  }
  return false
}

/** Whether all of some values are numbers, and finite. */
export function allFinite(values: Float32Array): boolean {
  // The sum is a double, which no number of float32 values overflows: it is finite exactly if all of them are.
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]
  return Number.isFinite(sum)
}
