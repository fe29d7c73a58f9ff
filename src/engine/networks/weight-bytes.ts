import { weightType, type FloatType, type GraphTarget } from '../graph/target.js'
import { elementCount } from '../tensor.js'
import type { Checkpoint, Component } from '../weights/checkpoint.js'
import { isFloat } from '../weights/half.js'
import { networkTensors, type NetworkRole } from '../weights/network-tensors.js'
import { openSafetensors, type StoredTensor } from '../weights/safetensors.js'
import { modelTargets, networkTarget, type DeviceTarget } from './network-target.js'

export const FLOAT_BYTES: Readonly<Record<FloatType, number>> = { float32: 4, float16: 2 }

/**
 * What a checkpoint's weights take as a device computes with them, from the files' headers. On a CPU they are mapped pages of
 * the files, which the system could drop, but all of them are read at every step: they have to fit.
 * @throws SwiftdError INVALID_WEIGHTS if a file is damaged
 */
export function checkpointBytes(checkpoint: Checkpoint, device: DeviceTarget): number {
  const { textEncoders, unet, vae } = checkpoint
  const targets = modelTargets(checkpoint, device)
  // A single file has all text encoders.
  const textFiles = new Map(textEncoders.map(({ weightsPath }, index) => [weightsPath, targets.textEncoders[index]]))
  const text = [...textFiles].reduce((sum, [path, target]) => sum + fileBytes(path, target, 'textEncoder'), 0)
  return text + fileBytes(unet.weightsPath, targets.unet, 'unet') + fileBytes(vae.weightsPath, targets.vae, 'vae')
}

/** The same of a network in a file of its own. */
export function componentBytes(component: Component<unknown>, device: DeviceTarget): number {
  return fileBytes(component.weightsPath, networkTarget(device, component, 'controlNet'), 'controlNet')
}

type Precise = Pick<GraphTarget, 'precision'>

function fileBytes(path: string, target: Precise, role: NetworkRole): number {
  const file = openSafetensors(path)
  try {
    return networkTensors(file, role).reduce((sum, tensor) => sum + tensorBytes(tensor, target), 0)
  } finally {
    file.close()
  }
}

function tensorBytes({ dtype, shape, byteLength }: StoredTensor, target: Precise): number {
  return isFloat(dtype) ? elementCount(shape) * FLOAT_BYTES[weightType(target, shape)] : byteLength
}
