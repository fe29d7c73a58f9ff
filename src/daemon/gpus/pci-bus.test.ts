import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { pciGpus, pciIds } from './pci-bus.js'

describe('the PCI bus', () => {
  let bus: string
  beforeEach(() => {
    bus = mkdtempSync(join(tmpdir(), 'swiftd-pci-'))
  })
  afterEach(() => rmSync(bus, { recursive: true }))

  /** As /sys/bus/pci/devices has a card. */
  const plug = (address: string, files: Readonly<Record<string, string>>): void => {
    mkdirSync(join(bus, address))
    for (const [name, text] of Object.entries(files)) writeFileSync(join(bus, address, name), `${text}\n`)
  }

  it('has GPUs of those who make some, in the order of their addresses', () => {
    plug('0000:81:00.0', { class: '0x038000', vendor: '0x1002', device: '0x744c' })
    plug('0000:01:00.0', { class: '0x030000', vendor: '0x10de', device: '0x2684' })
    // A server's console, a card's sound, and what tells nothing.
    plug('0000:02:00.0', { class: '0x030000', vendor: '0x1a03', device: '0x2000' })
    plug('0000:01:00.1', { class: '0x040300', vendor: '0x10de', device: '0x22ba' })
    plug('0000:03:00.0', {})
    expect(pciGpus(bus)).toEqual([
      { name: 'NVIDIA GPU', address: '0000:01:00.0', vendorId: '0x10de', deviceId: '0x2684' },
      { name: 'AMD GPU', address: '0000:81:00.0', vendorId: '0x1002', deviceId: '0x744c' },
    ])
    expect(pciIds('0000:02:00.0', bus)).toEqual({ vendorId: '0x1a03', deviceId: '0x2000' })
  })

  it('is empty where the system does not tell of it', () => {
    expect(pciGpus(join(bus, 'nowhere'))).toEqual([])
    expect(pciIds('0000:01:00.0', bus)).toEqual({})
  })
})
