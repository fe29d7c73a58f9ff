import { describe, expect, it } from 'vitest'
import type { DeviceState } from '../protocol/status.js'
import type { DeviceWorker } from '../workers/device-worker.js'
import { parseDevices } from '../workers/devices.js'
import { place, toCandidate } from './place.js'
import type { PlacementChoice, PlacementNeeds } from './placement.js'
import { describeCandidate, type StageCosts } from './predict.js'
import type { DeviceRoles } from './roles.js'

type State = Exclude<DeviceState, 'busy'>

/** Devices in the given states; those that are `busy` are idle for their worker, and a job has them. */
function openDevices(states: readonly (State | 'busy')[], threads: readonly number[] = [], names?: readonly string[]) {
  const devices = states.map((state, index): DeviceWorker => {
    const [device] = parseDevices([names?.[index] ?? `cpu:${index}=${threads[index] ?? 1}`])
    return {
      device,
      status: { name: device.name, threads: device.threads, state: state === 'busy' ? 'idle' : state, restarts: 0 },
      ready: () => Promise.reject(new Error('not used')),
      stop: () => Promise.resolve(),
    }
  })
  return { devices, free: devices.filter((_, index) => states[index] !== 'busy') }
}

const NEEDS: PlacementNeeds = { controlNets: 0, latentParallel: false, batch: 2 }
const allBases = (count: number): DeviceRoles => {
  return { base: Array.from({ length: count }, (_, index) => `cpu:${index}`), controlNet: [] }
}

interface Options {
  readonly roles?: DeviceRoles
  readonly costs?: StageCosts
  readonly threads?: readonly number[]
  readonly names?: readonly string[]
}

function choose(needs: Partial<PlacementNeeds>, states: readonly (State | 'busy')[], options: Options = {}) {
  const { costs, threads, names } = options
  const { roles = names ? { base: names, controlNet: [] } : allBases(states.length) } = options
  return place({ ...NEEDS, ...needs }, openDevices(states, threads, names), roles, costs)
}

/** The placement in words, or what the job waits for. */
function describeChoice(choice: PlacementChoice): string {
  if (choice.kind === 'wait') return `waits, claims ${choice.claims.map(({ device }) => device.name).join(' ')}`.trim()
  const candidate = toCandidate(choice.placement)
  return describeCandidate(candidate, ['a', 'b', 'c'].slice(0, candidate.controlNets.length))
}

const told = (...args: Parameters<typeof choose>): string => describeChoice(choose(...args))
const notes = (...args: Parameters<typeof choose>): readonly string[] => {
  const choice = choose(...args)
  return choice.kind === 'start' ? choice.placement.notes : []
}

describe('placement by rule', () => {
  it('takes one device where there is one', () => {
    expect(told({ controlNets: 2 }, ['idle'])).toBe('cpu:0 with a, b')
    expect(told({ latentParallel: true }, ['idle'])).toBe('cpu:0')
    expect(notes({ latentParallel: true }, ['idle'])).toEqual([expect.stringContaining('no second device')])
  })

  it('gives ControlNets the devices that are idle', () => {
    expect(told({ controlNets: 1 }, ['idle', 'idle'])).toBe('cpu:0, a on cpu:1')
    expect(told({ controlNets: 3 }, ['idle', 'idle', 'idle'])).toBe('cpu:0, a on cpu:1, b on cpu:2, c on cpu:1')
    expect(told({ controlNets: 1 }, ['idle', 'busy'])).toBe('cpu:0 with a')
    expect(told({ controlNets: 1 }, ['idle', 'failed', 'idle'])).toBe('cpu:0, a on cpu:2')
  })

  it('gives the halves two devices and the ControlNets what is left', () => {
    const needs = { latentParallel: true, controlNets: 1 }
    expect(told(needs, ['idle', 'idle'])).toBe('halves on cpu:0 and cpu:1, each with a')
    expect(told(needs, ['idle', 'idle', 'idle'])).toBe('halves on cpu:0 and cpu:1, a on cpu:2')
    expect(told(needs, ['idle', 'failed', 'idle'])).toBe('halves on cpu:0 and cpu:2, each with a')
  })

  it('keeps to the roles of the devices, busy or not', () => {
    const roles = { base: ['cpu:0', 'cpu:2'], controlNet: ['cpu:1'] }
    expect(told({ controlNets: 2 }, ['idle', 'busy', 'idle'], { roles })).toBe('cpu:0, a on cpu:1, b on cpu:1')
    expect(told({ controlNets: 1 }, ['idle', 'failed', 'busy'], { roles })).toBe('cpu:0 with a')
    expect(told({ latentParallel: true }, ['idle', 'idle', 'idle'], { roles })).toBe('halves on cpu:0 and cpu:2')
    expect(told({}, ['busy', 'idle', 'busy'], { roles })).toBe('waits, claims')
  })

  it('takes the devices that were asked for', () => {
    expect(told({ baseDevice: 'cpu:2' }, ['idle', 'idle', 'idle'])).toBe('cpu:2')
    expect(told({ controlNets: 2, controlNetDevices: ['cpu:2'] }, ['idle', 'idle', 'idle'])).toBe(
      'cpu:0, a on cpu:2, b on cpu:2',
    )
    expect(told({ controlNets: 1, controlNetDevices: ['cpu:0'] }, ['idle', 'idle'])).toBe('cpu:0 with a')
    expect(told({ latentParallel: true, secondDevice: 'cpu:0' }, ['idle', 'idle'])).toBe('halves on cpu:1 and cpu:0')
  })

  it('waits for devices that were asked for, and lets no later job have them', () => {
    expect(told({ baseDevice: 'cpu:1' }, ['idle', 'busy'])).toBe('waits, claims cpu:1')
    expect(told({ latentParallel: true }, ['idle', 'busy'])).toBe('waits, claims cpu:0 cpu:1')
    expect(told({ latentParallel: true }, ['idle', 'busy', 'busy'])).toBe('waits, claims cpu:0')
    expect(told({ latentParallel: true, secondDevice: 'cpu:1' }, ['idle', 'busy', 'idle'])).toBe(
      'waits, claims cpu:0 cpu:1',
    )
  })

  it('does not split what is one pass', () => {
    expect(told({ latentParallel: true, batch: 1 }, ['idle', 'idle'])).toBe('cpu:0')
    expect(notes({ latentParallel: true, batch: 1 }, ['idle', 'idle'])[0]).toContain('one image is one pass')
  })

  it('does not split by itself while nothing is known', () => {
    expect(told({ latentParallel: 'auto' }, ['idle', 'idle'])).toBe('cpu:0')
    expect(notes({ latentParallel: 'auto' }, ['idle', 'idle'])).toEqual([])
  })
})

/** 100 ms for the whole batch on one thread, and half for half of it; a ControlNet takes `controlNetMs` of that. */
const costsOf = (threads: readonly number[], controlNetMs = 45, halfFactor = 0.5): StageCosts => {
  return (device, share) => {
    const factor = (share === 'full' ? 1 : halfFactor) / threads[Number(device.split(':')[1])]
    return {
      encoderMs: 40 * factor,
      decoderMs: 60 * factor,
      controlNetMs: [controlNetMs * factor, controlNetMs * factor],
    }
  }
}

describe('placement beside GPUs', () => {
  const names = ['cpu:0=1', 'cuda:0', 'cuda:1']
  const roles: DeviceRoles = { base: ['cpu:0', 'cuda:0', 'cuda:1'], controlNet: [] }
  const mixed = (needs: Partial<PlacementNeeds>, states: readonly (State | 'busy')[], more: Options = {}) =>
    told(needs, states, { names, roles, ...more })

  it('takes a GPU, wherever it is in the list, and waits for one rather than taking a CPU', () => {
    expect(mixed({}, ['idle', 'idle', 'idle'])).toBe('cuda:0')
    expect(mixed({}, ['idle', 'busy', 'idle'])).toBe('cuda:1')
    expect(mixed({}, ['idle', 'busy', 'busy'])).toBe('waits, claims')
  })

  it('waits for a GPU that is about to show whether it works, if a CPU could stand in', () => {
    expect(mixed({}, ['idle', 'starting', 'failed'])).toBe('waits, claims cuda:0')
    expect(mixed({}, ['idle', 'starting', 'idle'])).toBe('cuda:1')
    expect(mixed({ baseDevice: 'cuda:0' }, ['idle', 'starting', 'failed'])).toBe('cuda:0')
    const alone: Options = { names: ['cuda:0'], roles: { base: ['cuda:0'], controlNet: [] } }
    expect(mixed({}, ['starting'], alone)).toBe('cuda:0')
  })

  it('takes a CPU where no GPU works any more, and where a job asks for it', () => {
    expect(mixed({}, ['idle', 'failed', 'failed'])).toBe('cpu:0')
    expect(mixed({}, ['idle', 'failed', 'idle'])).toBe('cuda:1')
    expect(mixed({ baseDevice: 'cpu:0' }, ['idle', 'idle', 'idle'])).toBe('cpu:0')
  })

  it('gives ControlNets and halves to GPUs, and to a CPU only if that is kept or asked for', () => {
    expect(mixed({ controlNets: 1 }, ['idle', 'idle', 'idle'])).toBe('cuda:0, a on cuda:1')
    expect(mixed({ controlNets: 1 }, ['idle', 'idle', 'busy'])).toBe('cuda:0 with a')
    expect(mixed({ controlNets: 1, controlNetDevices: ['cpu:0'] }, ['idle', 'idle', 'idle'])).toBe('cuda:0, a on cpu:0')
    expect(mixed({ latentParallel: true }, ['idle', 'idle', 'idle'])).toBe('halves on cuda:0 and cuda:1')
    expect(mixed({ latentParallel: true }, ['idle', 'idle', 'failed'])).toBe('cuda:0')
    const kept: DeviceRoles = { base: ['cuda:0', 'cuda:1'], controlNet: ['cpu:0'] }
    expect(mixed({ controlNets: 1 }, ['idle', 'idle', 'idle'], { roles: kept })).toBe('cuda:0, a on cpu:0')
  })

  it('plans with GPUs only, also where times of a CPU are known', () => {
    const costs: StageCosts = (device) => {
      const ms = device === 'cpu:0' ? 1 : 10
      return { encoderMs: ms, decoderMs: ms, controlNetMs: [ms] }
    }
    expect(mixed({ controlNets: 1 }, ['idle', 'idle', 'idle'], { costs })).toBe('cuda:0, a on cuda:1')
    expect(mixed({ latentParallel: 'auto' }, ['idle', 'idle', 'busy'], { costs })).toBe('cuda:0')
  })
})

describe('placement by predicted steps', () => {
  it('splits a batch by itself where that is faster', () => {
    const auto = { latentParallel: 'auto' } as const
    expect(told(auto, ['idle', 'idle'], { costs: costsOf([1, 1]) })).toBe('halves on cpu:0 and cpu:1')
    // Where half of the batch takes as long as all of it, another device gains nothing.
    expect(told(auto, ['idle', 'idle'], { costs: costsOf([1, 1], 0, 1) })).toBe('cpu:0')
    expect(told({ ...auto, batch: 1 }, ['idle', 'idle'], { costs: costsOf([1, 1]) })).toBe('cpu:0')
  })

  it('does not wait for a second device that it may use', () => {
    expect(told({ latentParallel: 'auto' }, ['idle', 'busy'], { costs: costsOf([1, 1]) })).toBe('cpu:0')
    expect(told({ latentParallel: 'auto' }, ['busy', 'busy'], { costs: costsOf([1, 1]) })).toBe('waits, claims')
  })

  it('leaves a ControlNet beside the UNet where another device is too slow for it', () => {
    const needs = { controlNets: 1 }
    const threads = [4, 1]
    expect(told(needs, ['idle', 'idle'], { threads, costs: costsOf(threads) })).toBe('cpu:0 with a')
    expect(told(needs, ['idle', 'idle'], { costs: costsOf([1, 1]) })).toBe('cpu:0, a on cpu:1')
  })

  it('gives the UNet the faster device where the ControlNet is to go to the other one', () => {
    const threads = [1, 2]
    const costs = costsOf(threads, 20)
    expect(told({ controlNets: 1 }, ['idle', 'idle'], { threads, costs })).toBe('cpu:1, a on cpu:0')
  })

  it('gives each half its own ControlNet device where there are four', () => {
    const needs = { controlNets: 1, latentParallel: true } as const
    const states = ['idle', 'idle', 'idle', 'idle'] as const
    const costs = costsOf([1, 1, 1, 1])
    expect(told(needs, states, { costs })).toBe('halves on cpu:0 and cpu:1, a on cpu:2 and cpu:3')
  })

  it('takes what was asked for, and tells if that is slower than one device', () => {
    const needs = { latentParallel: true } as const
    const threads = [4, 1]
    const options = { threads, costs: costsOf(threads) }
    expect(told(needs, ['idle', 'idle'], options)).toBe('halves on cpu:0 and cpu:1')
    expect(notes(needs, ['idle', 'idle'], options)).toEqual([
      'Latent parallelism is predicted to be slower than one device: 51 ms for a step on cpu:0 and cpu:1, 25 ms on cpu:0 ' +
        'alone. Leave it out, or set it to auto.',
    ])
    expect(told({ latentParallel: 'auto' }, ['idle', 'idle'], options)).toBe('cpu:0')
    expect(notes(needs, ['idle', 'idle'], { costs: costsOf([1, 1]) })).toEqual([])
    expect(told({ controlNets: 1, controlNetDevices: ['cpu:1'] }, ['idle', 'idle'], options)).toBe('cpu:0, a on cpu:1')
  })

  it('leaves jobs without a choice where the rule puts them', () => {
    const threads = [1, 4]
    expect(told({}, ['idle', 'idle'], { threads, costs: costsOf(threads) })).toBe('cpu:0')
  })

  it('goes by rule where a stage was not measured', () => {
    const costs: StageCosts = (device, share) => (device === 'cpu:1' ? undefined : costsOf([1, 1])(device, share))
    expect(told({ latentParallel: 'auto' }, ['idle', 'idle'], { costs })).toBe('cpu:0')
    expect(told({ controlNets: 1 }, ['idle', 'idle'], { costs })).toBe('cpu:0, a on cpu:1')
  })
})
