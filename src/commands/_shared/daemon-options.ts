import { Flags } from '@oclif/core'
import type { StartOptions } from '../../daemon/client/autostart.js'
import { formatDevice, parseDevices } from '../../daemon/workers/devices.js'
import { resolveSetting } from './setting-values.js'
import { splitList } from './setting-kinds.js'

/** The devices of a daemon that is started. */
export const DEVICE_FLAG = Flags.string({
  description: 'A device and its threads; repeat it for more devices. By default the setting "devices".',
  multiple: true,
  multipleNonGreedy: true,
  helpValue: 'cpu:N=THREADS',
})

/**
 * What a daemon is started with: the flag, else the settings.
 * @param deviceFlags values of DEVICE_FLAG
 * @throws SwiftdError INVALID_REQUEST for what is no device, and for settings that are not allowed
 */
export function daemonOptions(deviceFlags?: readonly string[]): StartOptions {
  const given = deviceFlags && parseDevices(deviceFlags.flatMap(splitList)).map(formatDevice)
  const devices = given ?? devicesSetting()
  const preload = resolveSetting('lora-preload').value
  return {
    ...(devices && { devices: devices.join(',') }),
    ...(preload && { loraPreload: preload.join(',') }),
  }
}

/** parseDevices has a better sentence for what is wrong with a device than the table of settings. */
function devicesSetting(): readonly string[] | undefined {
  const given = splitList(process.env.SWIFTD_DEVICES ?? '')
  return given.length > 0 ? parseDevices(given).map(formatDevice) : resolveSetting('devices').value
}
