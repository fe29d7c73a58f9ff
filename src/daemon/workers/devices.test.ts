import { availableParallelism } from 'node:os'
import { describe, expect, it } from 'vitest'
import {
  cpuDevices,
  devicesFromEnvironment,
  formatDevice,
  GPU_HOST_THREADS,
  isGpu,
  parseDevices,
  withPrecision,
} from './devices.js'

describe('devices', () => {
  it('are read with their threads, and get all cores where none are given', () => {
    expect(parseDevices(['cpu:0=2', ' cpu:1 '])).toEqual([
      { name: 'cpu:0', provider: 'cpu', index: 0, threads: 2 },
      { name: 'cpu:1', provider: 'cpu', index: 1, threads: availableParallelism() },
    ])
  })

  it('may be GPUs, which have few threads of the host', () => {
    expect(parseDevices(['cuda:0', 'webgpu:12'])).toEqual([
      { name: 'cuda:0', provider: 'cuda', index: 0, threads: GPU_HOST_THREADS },
      { name: 'webgpu:12', provider: 'webgpu', index: 12, threads: GPU_HOST_THREADS },
    ])
    expect(['cpu:3', 'cuda:3', 'webgpu:3'].map(isGpu)).toEqual([false, true, true])
  })

  it('have the precision of SWIFTD_PRECISION where it is not auto, but CPUs only mixed', () => {
    const devices = parseDevices(['cpu:0=1', 'cuda:0'])
    const [cpu, gpu] = devices
    for (const given of [undefined, '', 'auto'])
      expect(withPrecision(devices, { SWIFTD_PRECISION: given })).toEqual(devices)
    const told = withPrecision(devices, { SWIFTD_PRECISION: 'float32' })
    expect(told).toEqual([cpu, { ...gpu, precision: 'float32' }])
    // A CPU takes files in float16 as they are, and has no arithmetic in it.
    expect(withPrecision(devices, { SWIFTD_PRECISION: 'float16' })).toEqual([cpu, { ...gpu, precision: 'float16' }])
    const mixed = { precision: 'mixed' }
    expect(withPrecision(devices, { SWIFTD_PRECISION: 'mixed' })).toEqual([
      { ...cpu, ...mixed },
      { ...gpu, ...mixed },
    ])
    expect(() => withPrecision(devices, { SWIFTD_PRECISION: 'half' })).toThrow(
      'SWIFTD_PRECISION must be auto or float16 or mixed or float32, not "half".',
    )
  })

  it('come from SWIFTD_DEVICES, and are not chosen there where nothing is set', () => {
    const devices = devicesFromEnvironment({ SWIFTD_DEVICES: 'cpu:0=1, cuda:1,' })
    expect(devices?.map(formatDevice)).toEqual(['cpu:0=1', 'cuda:1'])
    expect(devicesFromEnvironment({})).toBeUndefined()
    expect(devicesFromEnvironment({ SWIFTD_DEVICES: '' })).toBeUndefined()
  })

  it('are one CPU device with all cores where there is no GPU', () => {
    expect(cpuDevices()).toEqual([{ name: 'cpu:0', provider: 'cpu', index: 0, threads: availableParallelism() }])
  })

  it.each([
    ...['cpu', 'gpu:0', 'cpu:0=0', 'cpu:0=two', 'cpu:0=9999', 'cpu:0=1.5', ''],
    ...['cuda', 'cuda:', 'cuda:00', 'cuda:100', 'cuda:-1', 'CUDA:0', 'rocm:0', 'constructor:0'],
  ])('are not "%s"', (text) => {
    expect(() => parseDevices([text])).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }))
    expect(() => parseDevices([text])).toThrow(`"${text}" is not a device; write for example cpu:0=2`)
  })

  it('have no threads to choose where they are GPUs', () => {
    expect(() => parseDevices(['cuda:1=2'])).toThrow('a GPU has no threads to choose, write cuda:1.')
  })

  it('are given once each', () => {
    expect(() => parseDevices(['cpu:0=1', 'cpu:0=2'])).toThrow('cpu:0 is given twice')
  })
})
