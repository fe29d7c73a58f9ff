import { describe, expect, it } from 'vitest'
import { gpuDevice, parseDevices } from '../workers/devices.js'
import { hasChosenVulkan, pinnedEnvironment, visibleCudaDevices } from './pinning.js'

const CARD = { name: 'Card', address: '0000:03:00.0', vendorId: '0x1002', deviceId: '0x744c' }

describe('a worker of an NVIDIA GPU', () => {
  const pinned = (index: number, environment: NodeJS.ProcessEnv = {}) =>
    pinnedEnvironment(gpuDevice('cuda', index), environment)

  it('sees only its own, by the number that nvidia-smi shows', () => {
    expect(pinned(2)).toEqual({ CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: '2' })
  })

  it('sees the one of that number among those that the user leaves visible', () => {
    expect(pinned(1, { CUDA_VISIBLE_DEVICES: '4, 2' }).CUDA_VISIBLE_DEVICES).toBe('2')
    expect(pinned(0, { CUDA_VISIBLE_DEVICES: 'GPU-8932f937-d72c' }).CUDA_VISIBLE_DEVICES).toBe('GPU-8932f937-d72c')
    expect(pinned(0, { CUDA_DEVICE_ORDER: 'FASTEST_FIRST' })).toEqual({ CUDA_VISIBLE_DEVICES: '0' })
  })

  it('sees none beyond their end', () => {
    expect(pinned(2, { CUDA_VISIBLE_DEVICES: '4,2' }).CUDA_VISIBLE_DEVICES).toBe('-1')
    expect(pinned(0, { CUDA_VISIBLE_DEVICES: '' }).CUDA_VISIBLE_DEVICES).toBe('-1')
  })

  it('reads the list to its first entry that is none, as CUDA does', () => {
    expect(visibleCudaDevices({ CUDA_VISIBLE_DEVICES: '0,-1,1' })).toEqual(['0'])
    expect(visibleCudaDevices({ CUDA_VISIBLE_DEVICES: 'MIG-GPU-1/3/0,1' })).toEqual(['MIG-GPU-1/3/0', '1'])
    expect(visibleCudaDevices({})).toBeUndefined()
  })
})

describe('a worker of a WebGPU device', () => {
  it('sees only its card, also beside an equal one', () => {
    expect(pinnedEnvironment(gpuDevice('webgpu', 1, CARD), {})).toEqual({
      VK_LOADER_VENDOR_ID_FILTER: '0x1002',
      VK_LOADER_DEVICE_ID_FILTER: '0x744c',
      VK_LOADER_DEVICE_SELECT: '0x1002:0x744c',
      DRI_PRIME: 'pci-0000_03_00_0',
      MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE: '1',
    })
  })

  it('keeps what the user chose', () => {
    for (const name of ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES', 'VK_LOADER_DEVICE_SELECT', 'MESA_VK_DEVICE_SELECT']) {
      expect(pinnedEnvironment(gpuDevice('webgpu', 0, CARD), { [name]: 'x' })).toEqual({})
      expect(hasChosenVulkan({ [name]: 'x' })).toBe(true)
    }
    expect(hasChosenVulkan({ VK_DRIVER_FILES: '' })).toBe(false)
  })

  it('is shown everything where its card is not known', () => {
    expect(pinnedEnvironment(gpuDevice('webgpu', 0), {})).toEqual({})
  })
})

describe('a worker of a CPU', () => {
  it('is shown nothing else', () => {
    expect(pinnedEnvironment(parseDevices(['cpu:1=2'])[0], { CUDA_VISIBLE_DEVICES: '3' })).toEqual({})
  })
})
