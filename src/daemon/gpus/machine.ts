import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Systeminformation } from 'systeminformation'
import type { Card } from '../workers/devices.js'

/** A GPU of this machine, as its driver and the PCI bus tell of it. */
export interface MachineGpu extends Card {
  /** Of its own, where the driver tells it. */
  readonly memory?: { readonly totalBytes: number; readonly freeBytes: number }
  /** Share of the last moment in which it computed, 0 to 1, where the driver tells it. */
  readonly utilization?: number
  /** The driver's version, where it tells it. */
  readonly driver?: string
}

const MIB = 2 ** 20
export const NVIDIA = '0x10de'
/** PCI's numbers of those who make GPUs that compute: servers also have controllers that only draw a console. */
const GPU_VENDORS: readonly string[] = [NVIDIA, '0x1002', '0x8086']

/**
 * The GPUs of this machine in the order of their PCI addresses, which is nvidia-smi's. The systeminformation package asks
 * lspci, nvidia-smi and clinfo, or macOS's system_profiler: it takes from a tenth of a second to some seconds, in which
 * nvidia-smi blocks this thread.
 */
export async function readMachineGpus(): Promise<MachineGpu[]> {
  const { graphics } = await import('systeminformation')
  const { controllers } = await graphics()
  const listed = controllers.map((controller) => toMachineGpu(controller, pciIds))
  const computing = listed.filter(({ vendorId }) => vendorId === undefined || GPU_VENDORS.includes(vendorId))
  const known = computing.some(({ vendorId }) => vendorId === NVIDIA)
  return [...computing, ...(known ? [] : unlistedNvidiaGpus())].sort(byAddress)
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

function byAddress({ address: a = '' }: MachineGpu, { address: b = '' }: MachineGpu): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Linux's word on an address of the PCI bus. */
function pciIds(address: string): Pick<Card, 'vendorId' | 'deviceId'> {
  try {
    const read = (file: string): string => readFileSync(join('/sys/bus/pci/devices', address, file), 'utf8').trim()
    return { vendorId: read('vendor'), deviceId: read('device') }
  } catch {
    return {}
  }
}

const NVIDIA_GPUS = '/proc/driver/nvidia/gpus'

/** Without lspci, as in many containers, the package lists nothing; NVIDIA's driver names the addresses itself. */
function unlistedNvidiaGpus(): MachineGpu[] {
  try {
    return readdirSync(NVIDIA_GPUS).map((address) => ({ name: 'NVIDIA GPU', address, vendorId: NVIDIA }))
  } catch {
    return []
  }
}

/** Whether a driver of NVIDIA is loaded, as a look at a few files tells; WSL has it in a place of its own. */
export function isNvidiaDriverLoaded(): boolean {
  return ['/proc/driver/nvidia/version', '/dev/nvidiactl', '/usr/lib/wsl/lib/libcuda.so.1'].some((path) =>
    existsSync(path),
  )
}

/** Whether GPUs could be listed: on Linux that takes lspci. */
export function canListGpus(environment: NodeJS.ProcessEnv = process.env): boolean {
  const directories = (environment.PATH ?? '').split(delimiter)
  return process.platform !== 'linux' || directories.some((directory) => existsSync(join(directory, 'lspci')))
}

/** The free memory of a card at this moment, in bytes; undefined where nobody tells it. */
export async function freeBytesOf(address: string): Promise<number | undefined> {
  const gpus = await readMachineGpus()
  return gpus.find((gpu) => gpu.address === address)?.memory?.freeBytes
}
