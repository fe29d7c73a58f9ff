import { Flags } from '@oclif/core'
import type { StartOptions } from '../../daemon/client/autostart.js'
import { PRECISION_CHOICES } from '../../daemon/protocol/precision.js'
import { formatDevice, parseDevices } from '../../daemon/workers/devices.js'
import { modelReference } from './model-reference.js'
import { resolveSetting } from './setting-values.js'
import { splitList } from './setting-kinds.js'

const REPEATED = { multiple: true, multipleNonGreedy: true } as const

/** The devices of a daemon that is started, and what they are for. */
export const DEVICE_FLAGS = {
  device: Flags.string({
    description: 'A GPU, or a CPU and its threads; repeat it for more devices. By default the setting "devices".',
    ...REPEATED,
    helpValue: 'cuda:N|webgpu:N|cpu:N=THREADS',
  }),
  'base-device': Flags.string({
    description: 'A device that runs base models; repeat it for more. By default all that run no ControlNets only.',
    ...REPEATED,
    helpValue: 'DEVICE',
  }),
  'controlnet-device': Flags.string({
    description: 'A device that is kept for ControlNets; repeat it for more. By default any that is free.',
    ...REPEATED,
    helpValue: 'DEVICE',
  }),
  precision: Flags.string({
    description:
      'What devices compute in; auto: on GPUs float16 where the GPU does it well, else mixed (weights in float16) or float32. CPUs compute in float32; mixed has them read float16 files as they are, for half the memory. By default the setting "precision".',
    options: PRECISION_CHOICES,
  }),
  'lora-preload': Flags.string({
    description: 'A LoRA that is made ready for the usual model at once; repeat it for more.',
    ...REPEATED,
    helpValue: 'NAME',
  }),
}

/** Values of DEVICE_FLAGS. */
export interface DeviceFlags {
  readonly device?: readonly string[]
  readonly 'base-device'?: readonly string[]
  readonly 'controlnet-device'?: readonly string[]
  readonly precision?: string
  readonly 'lora-preload'?: readonly string[]
}

/**
 * What a daemon is started with: the flags, else the settings.
 * @throws SwiftdError INVALID_REQUEST for what is no device, and for settings that are not allowed
 */
export function daemonOptions(flags: DeviceFlags = {}): StartOptions {
  const given = flags.device && parseDevices(flags.device.flatMap(splitList)).map(formatDevice)
  const devices = given ?? devicesSetting()
  const bases = flags['base-device']?.flatMap(splitList) ?? resolveSetting('base-devices').value
  const controlNets = flags['controlnet-device']?.flatMap(splitList) ?? resolveSetting('controlnet-devices').value
  const precision = flags.precision ?? resolveSetting('precision').value
  const preload = (flags['lora-preload']?.flatMap(splitList) ?? resolveSetting('lora-preload').value)?.map(
    modelReference,
  )
  return {
    ...(devices && { devices: devices.join(',') }),
    ...(bases && { baseDevices: bases.join(',') }),
    ...(controlNets && { controlNetDevices: controlNets.join(',') }),
    ...(precision !== undefined && { precision }),
    ...(preload && { loraPreload: preload.join(',') }),
  }
}

/** parseDevices has a better sentence for what is wrong with a device than the table of settings. */
function devicesSetting(): readonly string[] | undefined {
  const given = splitList(process.env.SWIFTD_DEVICES ?? '')
  return given.length > 0 ? parseDevices(given).map(formatDevice) : resolveSetting('devices').value
}
