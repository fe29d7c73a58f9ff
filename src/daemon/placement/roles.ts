import { SwiftdError } from '../../engine/errors.js'
import type { DeviceSpec } from '../workers/devices.js'

/** What the daemon's devices are for. Without a choice every device does everything. */
export interface DeviceRoles {
  /** Those that may run base models. */
  readonly base: readonly string[]
  /** Those that run ControlNets; where one of them is no base device, it runs nothing else. */
  readonly controlNet: readonly string[]
  /** The one that runs the text encoders and the autoencoder. @default each job's base device */
  readonly text?: string
}

/**
 * The roles of SWIFTD_BASE_DEVICES and SWIFTD_CONTROLNET_DEVICES, lists of names such as `cpu:0,cpu:1`, and of
 * SWIFTD_TEXT_DEVICE. A device that is named for ControlNets only runs no base models.
 * @throws SwiftdError INVALID_REQUEST for a device that the daemon does not have
 */
export function rolesFromEnvironment(
  devices: readonly DeviceSpec[],
  environment: NodeJS.ProcessEnv = process.env,
): DeviceRoles {
  const names = devices.map(({ name }) => name)
  const controlNet = readNames(environment.SWIFTD_CONTROLNET_DEVICES, names)
  const base = readNames(environment.SWIFTD_BASE_DEVICES, names)
  const others = names.filter((name) => !controlNet.includes(name))
  const [text] = readNames(environment.SWIFTD_TEXT_DEVICE, names)
  return { controlNet, base: base.length > 0 ? base : others.length > 0 ? others : names, ...(text && { text }) }
}

function readNames(text: string | undefined, known: readonly string[]): string[] {
  const names = (text ?? '').split(',').map((name) => name.trim())
  return names.filter((name) => name !== '').map((name) => checkDevice(name, known))
}

/**
 * The name of a device that the daemon has.
 * @throws SwiftdError INVALID_REQUEST with those that it has
 */
export function checkDevice(name: string, known: readonly string[]): string {
  if (known.includes(name)) return name
  throw new SwiftdError('INVALID_REQUEST', `There is no device "${name}"; the daemon has ${known.join(', ')}.`)
}
