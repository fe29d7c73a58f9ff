import { availableParallelism } from 'node:os'
import { describe, expect, it } from 'vitest'
import { devicesFromEnvironment, formatDevice, parseDevices } from './devices.js'

describe('devices', () => {
  it('are read with their threads, and get all cores where none are given', () => {
    expect(parseDevices(['cpu:0=2', ' cpu:1 '])).toEqual([
      { name: 'cpu:0', threads: 2 },
      { name: 'cpu:1', threads: availableParallelism() },
    ])
  })

  it('are one CPU device with all cores by default', () => {
    const all = [{ name: 'cpu:0', threads: availableParallelism() }]
    expect(devicesFromEnvironment({})).toEqual(all)
    expect(devicesFromEnvironment({ SWIFTD_DEVICES: '' })).toEqual(all)
  })

  it('come from SWIFTD_DEVICES', () => {
    const devices = devicesFromEnvironment({ SWIFTD_DEVICES: 'cpu:0=1,cpu:1=1' })
    expect(devices.map(formatDevice)).toEqual(['cpu:0=1', 'cpu:1=1'])
  })

  it.each(['cpu', 'gpu:0', 'cpu:0=0', 'cpu:0=two', 'cpu:0=9999', 'cpu:0=1.5', ''])('are not "%s"', (text) => {
    expect(() => parseDevices([text])).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }))
  })

  it('are given once each', () => {
    expect(() => parseDevices(['cpu:0=1', 'cpu:0=2'])).toThrow('cpu:0 is given twice')
  })
})
