import { graphics, type Systeminformation } from 'systeminformation'
import type { Card } from '../workers/devices.js'
import type { MachineGpu } from './machine.js'
import { isOfGpuMaker, pciIds } from './pci-bus.js'

const MIB = 2 ** 20

/**
 * The GPUs that the systeminformation package finds. It asks lspci, nvidia-smi and clinfo, or macOS's system_profiler: it takes
 * from a tenth of a second to some seconds, and any of them may hang. Of these nvidia-smi blocks this thread.
 */
export async function readControllers(): Promise<MachineGpu[]> {
  const { controllers } = await graphics()
  return controllers.map((controller) => toMachineGpu(controller, (address) => pciIds(address))).filter(isOfGpuMaker)
}

/** What systeminformation tells of a controller, in bytes and shares; `idsOf` gives PCI's numbers of an address. */
export function toMachineGpu(
  controller: Systeminformation.GraphicsControllerData,
  idsOf: (address: string) => Pick<Card, 'vendorId' | 'deviceId'>,
): MachineGpu {
  const { name, vendor, model, busAddress, memoryTotal, memoryFree, memoryUsed, utilizationGpu } = controller
  const address = busAddress ? fullAddress(busAddress) : undefined
  // A number that is 0 is left out by the package; `vram` may be no more than a window to the memory, so it is not used.
  const freeMib = memoryFree ?? (memoryTotal === undefined ? undefined : memoryTotal - (memoryUsed ?? 0))
  return {
    name: name || [vendor, model].filter(Boolean).join(' ') || 'unknown GPU',
    ...(address && { address, ...idsOf(address) }),
    ...(memoryTotal !== undefined &&
      freeMib !== undefined && { memory: { totalBytes: memoryTotal * MIB, freeBytes: freeMib * MIB } }),
    ...(memoryTotal !== undefined && { utilization: (utilizationGpu ?? 0) / 100 }),
    ...(controller.driverVersion && { driver: controller.driverVersion }),
  }
}

/** lspci leaves out a domain of zeros. */
function fullAddress(address: string): string {
  return /^[\da-f]{4,}:/i.test(address) ? address.toLowerCase() : `0000:${address.toLowerCase()}`
}
