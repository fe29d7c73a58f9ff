import { describe, expect, it } from 'vitest'
import { parseDevices } from '../workers/devices.js'
import { checkDevice } from './check.js'
import { defaultDevices, resolveDevices } from './resolve.js'
import { isCudaInstalled } from './runtime-package.js'
import { pino } from 'pino'

const [CPU] = parseDevices(['cpu:0=1'])
const logger = pino({ enabled: false })

describe('the check of a device', () => {
  it('computes on it in a child process', async () => {
    const check = await checkDevice(CPU)
    expect(check.usable && check.milliseconds).toBeGreaterThan(0)
  })

  it('is given up after its time', async () => {
    expect(await checkDevice(CPU, { deadlineMs: 1 })).toEqual({ usable: false, reason: 'no answer within 0.001 s' })
  })

  it.skipIf(isCudaInstalled())('says what to install for CUDA', async () => {
    const check = await checkDevice(parseDevices(['cuda:0'])[0])
    expect(check).toMatchObject({ usable: false, remedy: expect.any(String) as string })
  })
})

describe('the devices of a daemon', () => {
  it('are those that are set', async () => {
    const devices = await resolveDevices({ SWIFTD_DEVICES: 'cpu:0=1,cpu:1=1' }, logger)
    expect(devices).toEqual(parseDevices(['cpu:0=1', 'cpu:1=1']))
  })

  it.skipIf(isCudaInstalled())('are the CPU where nothing is set and CUDA is not installed', async () => {
    expect((await resolveDevices({}, logger)).map(({ name }) => name)).toEqual(['cpu:0'])
    expect((await defaultDevices({})).map(({ name }) => name)).toEqual(['cpu:0'])
  })

  it('are refused where this machine has no such GPU', async () => {
    await expect(resolveDevices({ SWIFTD_DEVICES: 'cpu:0=1,cuda:99' }, logger)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      message: expect.stringContaining('There is no device cuda:99') as string,
    })
  })
})
