import { weightType, type FloatType, type GraphTarget } from '../graph/target.js'
import { vaePrecision } from '../graph/vae.js'
import { elementCount } from '../tensor.js'
import type { Checkpoint, Component } from '../weights/checkpoint.js'
import { isFloat } from '../weights/half.js'
import { ORIGINAL_PREFIX as PREFIX } from '../weights/original-names.js'
import { openSafetensors, type StoredTensor } from '../weights/safetensors.js'

export const FLOAT_BYTES: Readonly<Record<FloatType, number>> = { float32: 4, float16: 2 }

const TEXT_PREFIXES = [PREFIX.clip, PREFIX.openClip, PREFIX.sdxlClip, PREFIX.sdxlOpenClip]

/**
 * What a checkpoint's weights take as a device computes with them, from the files' headers. On a CPU they are mapped pages of
 * the files, which the system could drop, but all of them are read at every step: they have to fit.
 * @throws SwiftdError INVALID_WEIGHTS if a file is damaged
 */
export function checkpointBytes({ textEncoders, unet, vae }: Checkpoint, target: GraphTarget): number {
  // A single file has all text encoders.
  const textFiles = [...new Set(textEncoders.map(({ weightsPath }) => weightsPath))]
  const text = textFiles.reduce((sum, path) => sum + fileBytes(path, target, TEXT_PREFIXES), 0)
  const trunk = fileBytes(unet.weightsPath, target, [PREFIX.unet])
  return text + trunk + fileBytes(vae.weightsPath, { precision: vaePrecision(vae.config, target) }, [PREFIX.vae])
}

/** The same of a network in a file of its own. */
export function componentBytes({ weightsPath }: Component<unknown>, target: GraphTarget): number {
  return fileBytes(weightsPath, target, [PREFIX.controlNet])
}

type Precise = Pick<GraphTarget, 'precision'>

/** Counts the tensors under the prefixes, or all where a file has none of them: others are no weights of the network, such as averages. */
function fileBytes(path: string, target: Precise, prefixes: readonly string[]): number {
  const file = openSafetensors(path)
  try {
    const all = [...file.tensors.values()]
    const own = all.filter(({ name }) => prefixes.some((prefix) => name.startsWith(prefix)))
    return (own.length > 0 ? own : all).reduce((sum, tensor) => sum + tensorBytes(tensor, target), 0)
  } finally {
    file.close()
  }
}

function tensorBytes({ dtype, shape, byteLength }: StoredTensor, target: Precise): number {
  return isFloat(dtype) ? elementCount(shape) * FLOAT_BYTES[weightType(target, shape)] : byteLength
}
