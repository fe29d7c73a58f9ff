import { describe, expect, it } from 'vitest'
import { toMachineGpu } from './controllers.js'
import { freeBytesOf, readMachineGpus } from './machine.js'

const MIB = 2 ** 20
const IDS = { vendorId: '0x10de', deviceId: '0x2684' }
/** As systeminformation 5.33 lists a controller that nvidia-smi knows. */
const NVIDIA = {
  ...{ vendor: 'NVIDIA Corporation', model: 'AD102 [GeForce RTX 4090]', bus: 'PCIe', busAddress: '01:00.0' },
  ...{ vram: 24564, vramDynamic: false, name: 'NVIDIA GeForce RTX 4090', driverVersion: '550.54.14' },
  ...{ memoryTotal: 24564, memoryUsed: 564, memoryFree: 24000, utilizationGpu: 37 },
}

describe('a GPU of the machine', () => {
  it('has its memory in bytes and its use as a share', () => {
    expect(toMachineGpu(NVIDIA, () => IDS)).toEqual({
      ...{ name: 'NVIDIA GeForce RTX 4090', address: '0000:01:00.0', ...IDS, driver: '550.54.14', utilization: 0.37 },
      memory: { totalBytes: 24564 * MIB, freeBytes: 24000 * MIB },
    })
  })

  it('is idle where the package leaves the number out, and full where it does', () => {
    const untold = { memoryFree: undefined, utilizationGpu: undefined }
    const full = toMachineGpu({ ...NVIDIA, ...untold, memoryUsed: 24564 }, () => IDS)
    expect(full).toMatchObject({ utilization: 0, memory: { freeBytes: 0 } })
  })

  it('has no memory where only lspci tells of it: that may be a window of 256 MiB', () => {
    const amd = {
      vendor: 'AMD',
      model: 'Navi 31',
      bus: 'PCIe',
      busAddress: '0001:03:00.0',
      vram: 256,
      vramDynamic: false,
    }
    const { memory, utilization, ...gpu } = toMachineGpu(amd, () => ({}))
    expect(gpu).toEqual({ name: 'AMD Navi 31', address: '0001:03:00.0' })
    expect([memory, utilization]).toEqual([undefined, undefined])
  })

  it('is looked for on any machine', async () => {
    const { gpus, failure } = await readMachineGpus()
    expect(failure).toBeUndefined()
    const addresses = gpus.map(({ address = '' }) => address)
    expect(addresses).toEqual([...addresses].sort())
    expect(await freeBytesOf('ffff:ff:1f.7')).toBeUndefined()
  })
})
