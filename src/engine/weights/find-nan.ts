import { setImmediate } from 'node:timers/promises'
import { SwiftdError } from '../errors.js'
import { isFloat, widenInto, type FloatDtype } from './half.js'
import { ELEMENT_BYTES, openSafetensors, type SafetensorsFile, type StoredTensor } from './safetensors.js'

/** Elements that are looked at before the event loop has its turn: a few milliseconds. */
const CHUNK_ELEMENTS = 2 ** 20

/**
 * Looks for the cause of a result that is no number in the files that it was computed with.
 * @param paths .safetensors files, the most likely cause first
 * @throws SwiftdError INVALID_WEIGHTS that names the file and the tensor, if one has a value which is no finite number;
 * CANCELLED when `signal` aborts
 */
export async function refuseDamaged(paths: readonly string[], signal?: AbortSignal): Promise<void> {
  for (const path of new Set(paths)) {
    const tensor = await findNonFinite(path, signal)
    if (tensor === undefined) continue
    const sentence = `${path} has values that are no numbers (NaN) in "${tensor}"; it is damaged, download it again.`
    throw new SwiftdError('INVALID_WEIGHTS', sentence)
  }
}

/**
 * The name of the first tensor in a file that has a value which is no finite number, or undefined if all are. Reads the
 * whole file, so it is for explaining a result that went wrong, not for every load.
 * @throws SwiftdError INVALID_WEIGHTS if the file is not valid
 */
async function findNonFinite(path: string, signal?: AbortSignal): Promise<string | undefined> {
  const file = openSafetensors(path)
  try {
    for (const tensor of file.tensors.values()) {
      if (isFloat(tensor.dtype) && (await hasNonFinite(file, tensor, tensor.dtype, signal))) return tensor.name
    }
    return undefined
  } finally {
    file.close()
  }
}

async function hasNonFinite(
  file: SafetensorsFile,
  tensor: StoredTensor,
  dtype: FloatDtype,
  signal?: AbortSignal,
): Promise<boolean> {
  const bytes = file.bytesOf(tensor)
  const step = CHUNK_ELEMENTS * ELEMENT_BYTES[dtype]
  for (let from = 0; from < bytes.byteLength; from += step) {
    // A copy is aligned, wherever the tensor lies in the file.
    const chunk = bytes.slice(from, from + step)
    const values = new Float32Array(chunk.byteLength / ELEMENT_BYTES[dtype])
    widenInto(values, chunk, dtype)
    if (!allFinite(values)) return true
    await setImmediate()
    if (signal?.aborted) throw new SwiftdError('CANCELLED', 'The job was cancelled.')
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
