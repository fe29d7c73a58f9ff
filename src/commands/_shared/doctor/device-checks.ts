import { availableParallelism } from 'node:os'
import { findDevices } from '../../../daemon/gpus/candidates.js'
import { checkDevice } from '../../../daemon/gpus/check.js'
import { listGpuDevices, type MachineDevice } from '../../../daemon/gpus/list.js'
import { canListGpus, LIST_REMEDY, readMachineGpus } from '../../../daemon/gpus/machine.js'
import { defaultDevices } from '../../../daemon/gpus/resolve.js'
import { formatDevice, isGpu, parseDevices, type DeviceSpec } from '../../../daemon/workers/devices.js'
import { daemonOptions } from '../daemon-options.js'
import { describeHardware } from '../devices/machine-table.js'
import { fail, ok, reasonOf, warn, type Check } from './check.js'

/** The devices that the daemon would be started with, and the GPUs of this machine, each of which computes a small graph. */
export async function checkDevices(cores: number = availableParallelism()): Promise<Check[]> {
  const { devices: listed, failure } = await listGpuDevices({ check: true })
  const unlisted = failure === undefined ? [] : [warn('gpu list', failure, LIST_REMEDY)]
  let specs: readonly DeviceSpec[]
  try {
    specs = await daemonDevices()
  } catch (error) {
    return [
      fail('devices', reasonOf(error), 'correct the setting "devices" or SWIFTD_DEVICES'),
      ...unlisted,
      ...checkGpus(listed, [], failure === undefined),
    ]
  }
  const others = specs.filter(({ name }) => isGpu(name) && !listed.some((gpu) => gpu.name === name))
  const gpus = [...listed, ...(await Promise.all(others.map(checkUnlisted)))]
  return [checkThreads(specs, cores), ...unlisted, ...checkGpus(gpus, specs, failure === undefined)]
}

/** A GPU that lspci does not know may be there all the same. */
async function checkUnlisted(device: DeviceSpec): Promise<MachineDevice> {
  const { name, provider } = device
  return { name, provider, hardware: 'a GPU that is not listed', ...(await checkDevice(device)) }
}

async function daemonDevices(): Promise<readonly DeviceSpec[]> {
  const { devices } = daemonOptions()
  if (devices === undefined) return defaultDevices(process.env)
  const specs = parseDevices(devices.split(','))
  if (!specs.some(({ name }) => isGpu(name))) return specs
  return findDevices(specs, { ...(await readMachineGpus()), environment: process.env })
}

/** Whether the CPU devices have together as many threads as there are cores. */
function checkThreads(specs: readonly DeviceSpec[], cores: number): Check {
  const found = `${specs.map(formatDevice).join(', ')} on ${cores} ${cores === 1 ? 'core' : 'cores'}`
  const cpus = specs.filter(({ name }) => !isGpu(name))
  const threads = cpus.reduce((sum, device) => sum + device.threads, 0)
  if (threads <= cores) return ok('devices', found)
  const remedy = 'give them together as many threads as there are cores: "swiftd config set devices cpu:0=N,cpu:1=N"'
  return warn('devices', `${found}: devices that run at once wait for each other`, remedy)
}

/** A GPU that the daemon is told to use must compute; of others it is only told. */
function checkGpus(gpus: readonly MachineDevice[], wanted: readonly DeviceSpec[], isComplete: boolean): Check[] {
  const isWanted = ({ name }: MachineDevice): boolean => wanted.some((device) => device.name === name)
  if (gpus.length === 0 && isComplete) {
    const hint = canListGpus() ? '' : '; without lspci (package pciutils) none can be listed'
    return [ok('gpu', `none was found, the CPU computes${hint}`)]
  }
  return gpus.map((gpu) => {
    const { name, usable, reason = 'it was not tried', remedy = 'see docs/DEVICES.md' } = gpu
    const hardware = describeHardware(gpu)
    if (usable) return ok(name, `${hardware}, computes`)
    if (isWanted(gpu)) return fail(name, `${hardware}: ${reason}`, remedy)
    // A card that computes in one way is not missed in another.
    const other = gpus.find((each) => each.usable && each.address !== undefined && each.address === gpu.address)
    return other ? ok(name, `not usable, but the card is ${other.name}`) : warn(name, `${hardware}: ${reason}`, remedy)
  })
}
