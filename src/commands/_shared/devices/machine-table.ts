import { availableParallelism, cpus } from 'node:os'
import { canListGpus, describeListFailure } from '../../../daemon/gpus/machine.js'
import type { MachineDevice } from '../../../daemon/gpus/list.js'
import { formatBytes } from '../../../daemon/models/format.js'
import { machineMemory } from '../memory.js'
import { formatColumns } from '../table.js'

/** The processor as a device: it can always be used. */
export function cpuDevice(): MachineDevice {
  const { available, total } = machineMemory()
  const cores = availableParallelism()
  const model = cpus()[0]?.model.trim() || 'CPU'
  return {
    ...{ name: 'cpu:0', provider: 'cpu', usable: true },
    hardware: `${model}, ${cores} ${cores === 1 ? 'core' : 'cores'}`,
    memory: { totalBytes: total, freeBytes: available },
  }
}

const COLUMNS = ['DEVICE', 'HARDWARE', 'FREE MEMORY', 'BUSY', 'DRIVER', 'USABLE']

/**
 * What the machine has, with what to do about what cannot be used.
 * @param failure what kept the list from being complete
 */
export function machineTable(devices: readonly MachineDevice[], failure?: string): string {
  const rows = devices.map((device) => {
    const { name, hardware, utilization, driver = '' } = device
    const busy = utilization === undefined ? '' : `${Math.round(100 * utilization)} %`
    return [name, hardware, describeMemory(device), busy, driver, describeUse(device)]
  })
  const failures = devices.flatMap(({ name, usable, reason, remedy }) => {
    const what = remedy === undefined ? '' : `; ${remedy}`
    return usable === false ? [`${name} cannot be used: ${reason}${what}.`] : []
  })
  return [formatColumns([COLUMNS, ...rows]), ...failures, ...hints(devices, failure)].join('\n')
}

/** A card with its memory and driver, as far as they are known. */
export function describeHardware(device: MachineDevice): string {
  const { hardware, driver, memory } = device
  const details = [memory && `${describeMemory(device)} free`, driver === undefined ? undefined : `driver ${driver}`]
  return [hardware, ...details.filter(Boolean)].join(', ')
}

function describeMemory({ memory }: MachineDevice): string {
  return memory ? `${formatBytes(memory.freeBytes)} of ${formatBytes(memory.totalBytes)}` : ''
}

function describeUse({ usable }: MachineDevice): string {
  return usable === null ? 'not tried' : usable ? 'yes' : 'no'
}

function hints(devices: readonly MachineDevice[], failure: string | undefined): string[] {
  const untried = devices.some(({ usable }) => usable === null)
  return [
    ...(untried ? ['"swiftd devices --check" runs a small graph on what was not tried.'] : []),
    ...(failure === undefined ? [] : [describeListFailure(failure)]),
    ...(failure !== undefined || devices.some(({ provider }) => provider !== 'cpu') ? [] : ['No GPU was found.']),
    ...(canListGpus() ? [] : ['GPUs are listed by lspci, which is not installed; it is in the package pciutils.']),
  ]
}
