import type { GraphTarget } from '../graph/target.js'
import { vaeTarget } from '../graph/vae.js'
import type { Checkpoint, Component } from '../weights/checkpoint.js'
import { storedFloats, type NetworkRole } from '../weights/network-tensors.js'
import { openSafetensors, type SafetensorsFile } from '../weights/safetensors.js'

/** What a device's graphs are built for. */
export interface DeviceTarget extends GraphTarget {
  /**
   * Whether graphs read a network's weights where its file is mapped, in the file's type. Mixed precision is then that of the
   * networks that are stored in float16, and float32 that of all others, whose rounding would save no memory.
   * @default false: the device has a copy, which is rounded to its precision
   */
  readonly mapsWeights?: boolean
}

/** What the graphs of one network are built for. */
export function targetOfFile(device: DeviceTarget, file: SafetensorsFile, role: NetworkRole): GraphTarget {
  if (!dependsOnFile(device) || storedFloats(file, role) === 'float16') return device
  return { ...device, precision: 'float32' }
}

/** The same of a file that is not open. @throws SwiftdError INVALID_WEIGHTS if it is damaged */
export function networkTarget(
  device: DeviceTarget,
  { weightsPath }: Component<unknown>,
  role: NetworkRole,
): GraphTarget {
  if (!dependsOnFile(device)) return device
  const file = openSafetensors(weightsPath)
  try {
    return targetOfFile(device, file, role)
  } finally {
    file.close()
  }
}

/** What the graphs of a model's networks are built for. */
export interface ModelTargets {
  /** In the order of the model's text encoders. */
  readonly textEncoders: readonly GraphTarget[]
  readonly unet: GraphTarget
  readonly vae: GraphTarget
}

/** @throws SwiftdError INVALID_WEIGHTS if a file is damaged */
export function modelTargets({ textEncoders, unet, vae }: Checkpoint, device: DeviceTarget): ModelTargets {
  return {
    textEncoders: textEncoders.map((component) => networkTarget(device, component, 'textEncoder')),
    unet: networkTarget(device, unet, 'unet'),
    vae: vaeTarget(vae.config, networkTarget(device, vae, 'vae')),
  }
}

/** Whether a network's weights would take half as much if its device were told to keep them as they are stored. */
export function couldBeMixed(device: DeviceTarget, component: Component<unknown>, role: NetworkRole): boolean {
  if (device.mapsWeights !== true || device.precision !== 'float32') return false
  return networkTarget({ ...device, precision: 'mixed' }, component, role).precision === 'mixed'
}

function dependsOnFile({ mapsWeights = false, precision }: DeviceTarget): boolean {
  return mapsWeights && precision !== 'float32'
}
