import { describe, expect, it } from 'vitest'
import type { DeviceWorker } from '../workers/device-worker.js'
import { parseDevices } from '../workers/devices.js'
import type { PlacementNeeds } from './placement.js'
import type { StageCosts } from './predict.js'
import type { DeviceRoles } from './roles.js'
import { withText } from './text-device.js'

/** Idle devices with these numbers of threads; a pass takes 100 ms on one thread. */
function openDevices(threads: readonly number[]) {
  const devices = threads.map((each, index): DeviceWorker => {
    const [device] = parseDevices([`cpu:${index}=${each}`])
    return {
      device,
      status: { name: device.name, threads: device.threads, state: 'idle', restarts: 0 },
      ready: () => Promise.reject(new Error('not used')),
      stop: () => Promise.resolve(),
    }
  })
  const costs: StageCosts = {
    whole: (name) => {
      const factor = 1 / threads[Number(name.split(':')[1])]
      return { encoderMs: 40 * factor, decoderMs: 60 * factor, controlNetMs: [] }
    },
    half: () => undefined,
    messageMs: () => undefined,
  }
  return { devices, costs, roles: { base: devices.map(({ device }) => device.name), controlNet: [] } as DeviceRoles }
}

type Options = Partial<ReturnType<typeof openDevices> & { free: readonly DeviceWorker[]; base: number }>

/** The device of the text encoders and the autoencoder. */
function textOf(needs: Partial<PlacementNeeds>, threads: readonly number[], options: Options = {}): string | undefined {
  const { devices, ...context } = { ...openDevices(threads), ...options }
  const placement = { base: devices[options.base ?? 0], controlNets: [], notes: [] }
  const wanted = { latentParallel: false, ...needs } as const
  const choice = withText({ kind: 'start', placement }, wanted, { devices, free: devices, ...context })
  return choice.kind === 'start' ? choice.placement.text?.device.name : undefined
}
const AUTO = { latentParallel: 'auto' } as const

describe('the device of the text encoders and the autoencoder', () => {
  it('is the one that was asked for, else the one that is kept for them, else the base device', () => {
    const roles: DeviceRoles = { base: ['cpu:0', 'cpu:1', 'cpu:2'], controlNet: [], text: 'cpu:1' }
    expect(textOf({}, [1, 1, 1])).toBeUndefined()
    expect(textOf({}, [1, 1, 1], { roles })).toBe('cpu:1')
    expect(textOf({ ...AUTO, textDevice: 'cpu:2' }, [1, 4, 1], { roles })).toBe('cpu:2')
    expect(textOf({ textDevice: 'cpu:0' }, [1, 1, 1], { roles })).toBeUndefined()
  })

  it('is with auto the fastest device that is faster than the base device', () => {
    expect(textOf(AUTO, [1, 1, 2, 4])).toBe('cpu:3')
    expect(textOf(AUTO, [1, 1, 1])).toBeUndefined()
    expect(textOf(AUTO, [4, 1, 2])).toBeUndefined()
    expect(textOf({ latentParallel: true }, [1, 1, 4])).toBeUndefined()
  })

  it('is with auto none that is busy, is kept for ControlNets, or was not measured', () => {
    const { devices, costs } = openDevices([1, 1, 4])
    expect(textOf(AUTO, [1, 1, 4], { free: devices.slice(0, 2) })).toBeUndefined()
    const roles: DeviceRoles = { base: ['cpu:0', 'cpu:1'], controlNet: ['cpu:2'] }
    expect(textOf(AUTO, [1, 1, 4], { roles })).toBeUndefined()
    const partly = { ...costs, whole: (name: string) => (name === 'cpu:2' ? undefined : costs.whole(name)) }
    expect(textOf(AUTO, [1, 1, 4], { costs: partly })).toBeUndefined()
  })
})
