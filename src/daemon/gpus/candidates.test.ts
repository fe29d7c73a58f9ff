import { describe, expect, it } from 'vitest'
import { formatDevice, parseDevices } from '../workers/devices.js'
import { assessDevice } from './assess.js'
import { findDevices, gpuCandidates, type Machine } from './candidates.js'
import type { MachineGpu } from './machine.js'

const INTEL: MachineGpu = { name: 'UHD Graphics 770', address: '0000:00:02.0', vendorId: '0x8086', deviceId: '0xa780' }
const NVIDIA: readonly MachineGpu[] = [1, 2].map((bus) => ({
  ...{
    name: 'NVIDIA RTX A4000',
    address: `0000:0${bus}:00.0`,
    vendorId: '0x10de',
    deviceId: '0x24b0',
    driver: '550.54.14',
  },
}))
const GPUS = [INTEL, ...NVIDIA]

const machine = (environment: NodeJS.ProcessEnv = {}, gpus = GPUS, nvidiaDriver = gpus.length > 1): Machine => {
  return { gpus, environment, nvidiaDriver }
}
const names = (...args: Parameters<typeof machine>) =>
  gpuCandidates(machine(...args)).map(({ name, card }) => `${name} ${card?.address ?? '?'}`)
const find = (texts: readonly string[], ...args: Parameters<typeof machine>) =>
  findDevices(parseDevices(texts), machine(...args))

describe('the devices of a machine', () => {
  it('are each NVIDIA GPU for CUDA, and each GPU for WebGPU', () => {
    expect(names()).toEqual([
      ...['cuda:0 0000:01:00.0', 'cuda:1 0000:02:00.0'],
      ...['webgpu:0 0000:00:02.0', 'webgpu:1 0000:01:00.0', 'webgpu:2 0000:02:00.0'],
    ])
  })

  it('are those that CUDA_VISIBLE_DEVICES leaves, in its order', () => {
    expect(names({ CUDA_VISIBLE_DEVICES: '1' }).slice(0, 2)).toEqual(['cuda:0 0000:02:00.0', 'webgpu:0 0000:00:02.0'])
    expect(names({ CUDA_VISIBLE_DEVICES: '' })[0]).toBe('webgpu:0 0000:00:02.0')
    expect(names({ CUDA_VISIBLE_DEVICES: 'GPU-1234' })[0]).toBe('cuda:0 ?')
  })

  it('are one for WebGPU where the environment chooses the driver', () => {
    expect(names({ VK_DRIVER_FILES: '/driver.json' }, [])).toEqual(['webgpu:0 ?'])
  })

  it('are a first one where a driver is there, but no list', () => {
    expect(names({}, [], true)).toEqual(['cuda:0 ?'])
    expect(names({}, [], false)).toEqual([])
  })
})

describe('devices that are asked for', () => {
  it('get their cards', () => {
    const found = find(['cpu:0=1', 'cuda:1'])
    expect(found.map(formatDevice)).toEqual(['cpu:0=1', 'cuda:1'])
    expect(found[1].card).toMatchObject({ name: 'NVIDIA RTX A4000', address: '0000:02:00.0' })
  })

  it('are refused with those that there are', () => {
    expect(() => find(['cpu:0=1', 'cuda:7'])).toThrow(
      'There is no device cuda:7; this machine has cpu:0, cuda:0 (NVIDIA RTX A4000), cuda:1 (NVIDIA RTX A4000), webgpu:0 (UHD Graphics 770)',
    )
    expect(() => find(['cuda:0'], {}, [INTEL])).toThrow(
      'There is no device cuda:0: no NVIDIA GPU was found; this machine has cpu:0, webgpu:0 (UHD Graphics 770).',
    )
    expect(() => find(['webgpu:1'], {}, [])).toThrow('There is no device webgpu:1: no GPU was found')
    expect(() => find(['cuda:2'])).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }))
  })

  it('may be webgpu:0 without a list: only opening it tells', () => {
    expect(find(['webgpu:0'], {}, []).map(({ name }) => name)).toEqual(['webgpu:0'])
  })

  it('are different cards', () => {
    expect(() => find(['cuda:0', 'webgpu:1'])).toThrow('cuda:0 and webgpu:1 are the same GPU (NVIDIA RTX A4000)')
    expect(find(['cuda:0', 'webgpu:0', 'webgpu:2'])).toHaveLength(3)
  })
})

describe('what keeps a device from being used', () => {
  const [cuda] = gpuCandidates(machine())
  const ready = { cudaOffered: true, cudaInstalled: true, nvidiaDriver: true }

  it('is told without opening it, the first reason first', () => {
    const [gpu] = NVIDIA
    expect(assessDevice(cuda, gpu, ready)).toBeUndefined()
    expect(assessDevice(cuda, gpu, { ...ready, cudaInstalled: false })?.remedy).toContain('swiftd gpu install')
    expect(assessDevice(cuda, { ...gpu, driver: '470.256.02' }, ready)?.reason).toBe(
      'the NVIDIA driver 470.256.02 is too old',
    )
    expect(assessDevice(cuda, undefined, { ...ready, nvidiaDriver: false })?.reason).toBe('no NVIDIA driver is loaded')
    expect(assessDevice(cuda, gpu, { ...ready, cudaOffered: false })?.reason).toContain('Linux on x64 only')
  })

  it('is nothing that files tell for WebGPU', () => {
    expect(assessDevice(parseDevices(['webgpu:0'])[0], INTEL, { ...ready, cudaInstalled: false })).toBeUndefined()
  })
})
