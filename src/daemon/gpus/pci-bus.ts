import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Card } from '../workers/devices.js'

/** What Linux itself tells of the PCI bus: a few files to read, and no program that could hang. */

const DEVICES = '/sys/bus/pci/devices'

export const NVIDIA = '0x10de'
/** PCI's numbers of those who make GPUs that compute: servers also have controllers that only draw a console. */
const GPU_MAKERS: Readonly<Record<string, string>> = { [NVIDIA]: 'NVIDIA', '0x1002': 'AMD', '0x8086': 'Intel' }

/** Whether a card is of a maker whose GPUs compute; true where nothing tells its maker. */
export function isOfGpuMaker({ vendorId }: Pick<Card, 'vendorId'>): boolean {
  return vendorId === undefined || Object.hasOwn(GPU_MAKERS, vendorId)
}

/** PCI's numbers of the maker and the model at an address of the bus. */
export function pciIds(address: string, directory = DEVICES): Pick<Card, 'vendorId' | 'deviceId'> {
  try {
    const read = (file: string): string => readFileSync(join(directory, address, file), 'utf8').trim()
    return { vendorId: read('vendor'), deviceId: read('device') }
  } catch {
    return {}
  }
}

/** The display controllers of makers of GPUs, by their addresses; empty where the system does not tell, as on macOS. */
export function pciGpus(directory = DEVICES): Card[] {
  return addressesIn(directory).flatMap((address) => {
    const { vendorId, deviceId } = pciIds(address, directory)
    if (vendorId === undefined || !isOfGpuMaker({ vendorId }) || !isDisplay(join(directory, address, 'class')))
      return []
    return [{ name: `${GPU_MAKERS[vendorId]} GPU`, address, vendorId, ...(deviceId !== undefined && { deviceId }) }]
  })
}

/** PCI's base class 03. */
function isDisplay(classFile: string): boolean {
  try {
    return readFileSync(classFile, 'utf8').startsWith('0x03')
  } catch {
    return false
  }
}

function addressesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort()
  } catch {
    return []
  }
}
