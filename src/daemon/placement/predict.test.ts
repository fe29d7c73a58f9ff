import { describe, expect, it } from 'vitest'
import { parseDevices } from '../workers/devices.js'
import { listCandidates, type CandidateOptions } from './candidates.js'
import { describeCandidate, fastest, MESSAGE_MS, predictStepMs, type Candidate, type StageCosts } from './predict.js'

/** Equal devices: of 100 ms for the whole batch the encoder takes 40; half a batch takes half of everything. */
const equal: StageCosts = (_device, share) => {
  const factor = share === 'full' ? 1 : 0.5
  return { encoderMs: 40 * factor, decoderMs: 60 * factor, controlNetMs: [45 * factor, 30 * factor] }
}
const alone = (base: string, ...controlNets: string[]): Candidate => ({ base, controlNets, secondControlNets: [] })
const halves = (first: string[], second: string[]): Candidate => ({
  ...{ base: 'cpu:0', second: 'cpu:1', controlNets: first, secondControlNets: second },
})

describe('predictStepMs', () => {
  it('adds up encoder and decoder of one device', () => {
    expect(predictStepMs(alone('cpu:0'), equal)).toBe(100)
  })

  it('puts the ControlNets of the base device before its encoder', () => {
    expect(predictStepMs(alone('cpu:0', 'cpu:0', 'cpu:0'), equal)).toBe(45 + 30 + 40 + 60)
  })

  it('lets another device compute beside the encoder, and waits for what takes longer', () => {
    expect(predictStepMs(alone('cpu:0', 'cpu:1'), equal)).toBe(45 + MESSAGE_MS + 60)
    const slow: StageCosts = () => ({ encoderMs: 50, decoderMs: 60, controlNetMs: [45] })
    expect(predictStepMs(alone('cpu:0', 'cpu:1'), slow)).toBe(50 + 60)
  })

  it('lets ControlNets of one device wait for each other, and those of two run at once', () => {
    expect(predictStepMs(alone('cpu:0', 'cpu:1', 'cpu:1'), equal)).toBe(45 + 30 + MESSAGE_MS + 60)
    expect(predictStepMs(alone('cpu:0', 'cpu:1', 'cpu:2'), equal)).toBe(45 + MESSAGE_MS + 60)
    expect(predictStepMs(alone('cpu:0', 'cpu:0', 'cpu:1'), equal)).toBe(45 + 40 + 60)
  })

  it('takes the slower of two halves, with the message to the second device', () => {
    expect(predictStepMs(halves([], []), equal)).toBe(50 + MESSAGE_MS)
    const uneven: StageCosts = (device) => {
      return { encoderMs: device === 'cpu:0' ? 40 : 20, decoderMs: 30, controlNetMs: [] }
    }
    expect(predictStepMs(halves([], []), uneven)).toBe(40 + 30)
  })

  it('lets two halves wait for a ControlNet device that they share, and not for two of their own', () => {
    expect(predictStepMs(halves(['cpu:0'], ['cpu:1']), equal)).toBe(22.5 + 20 + 30 + MESSAGE_MS)
    expect(predictStepMs(halves(['cpu:2'], ['cpu:2']), equal)).toBe(2 * 22.5 + MESSAGE_MS + 30 + MESSAGE_MS)
    expect(predictStepMs(halves(['cpu:2'], ['cpu:3']), equal)).toBe(22.5 + MESSAGE_MS + 30 + MESSAGE_MS)
  })

  it('knows nothing of what was not measured', () => {
    const partly: StageCosts = (device, share) => (share === 'full' ? equal(device, share) : undefined)
    expect(predictStepMs(alone('cpu:0', 'cpu:0'), partly)).toBe(145)
    expect(predictStepMs(halves([], []), partly)).toBeUndefined()
    const withoutControlNets: StageCosts = () => ({ encoderMs: 1, decoderMs: 1, controlNetMs: [] })
    expect(predictStepMs(alone('cpu:0', 'cpu:1'), withoutControlNets)).toBeUndefined()
  })
})

describe('fastest', () => {
  it('takes another device only if that is worth it', () => {
    const one = { candidate: alone('cpu:0', 'cpu:0'), stepMs: 100 }
    const two = (stepMs: number) => ({ candidate: alone('cpu:0', 'cpu:1'), stepMs })
    expect(fastest([two(98), one])).toBe(one)
    expect(fastest([one, two(90)])?.stepMs).toBe(90)
    expect(fastest([one, two(120)])).toBe(one)
  })

  it('says nothing if a candidate was not measured', () => {
    const unknown = { candidate: alone('cpu:1'), stepMs: undefined }
    expect(fastest([{ candidate: alone('cpu:0'), stepMs: 1 }, unknown])).toBeUndefined()
    expect(fastest([])).toBeUndefined()
  })
})

describe('listCandidates', () => {
  const devices = (count: number) => parseDevices(Array.from({ length: count }, (_, index) => `cpu:${index}=1`))
  const list = (count: number, controlNets: number, split: boolean, more: Partial<CandidateOptions> = {}) => {
    const all = devices(count)
    const names = ['a', 'b', 'c'].slice(0, controlNets)
    const options = {
      bases: all,
      seconds: split ? all : [],
      services: all,
      mustSplit: false,
      coLocated: true,
      controlNets,
    }
    return listCandidates({ ...options, ...more }).map((candidate) => describeCandidate(candidate, names))
  }

  it('has one placement on one device', () => {
    expect(list(1, 0, true)).toEqual(['cpu:0'])
    expect(list(1, 2, true)).toEqual(['cpu:0 with a, b'])
  })

  it('has, with two devices, the ControlNet beside the UNet or not, and the halves', () => {
    const two = ['cpu:0 with a', 'cpu:0, a on cpu:1', 'halves on cpu:0 and cpu:1, each with a']
    expect(list(2, 1, true)).toEqual(two)
    expect(list(2, 1, false)).toEqual(two.slice(0, 2))
    expect(list(2, 1, true, { mustSplit: true })).toEqual(two.slice(2))
  })

  it('has, with three devices, a ControlNet that the halves share', () => {
    expect(list(3, 1, true)).toContain('halves on cpu:0 and cpu:1, a on cpu:2')
    expect(list(3, 2, false)).toContain('cpu:0, a on cpu:1, b on cpu:2')
  })

  it('has, with four and more, one for each half', () => {
    expect(list(4, 1, true)).toContain('halves on cpu:0 and cpu:1, a on cpu:2 and cpu:3')
    expect(list(8, 3, true).length).toBeLessThan(100)
  })

  it('tells devices apart that have more threads', () => {
    const [slow, fast] = parseDevices(['cpu:0=1', 'cpu:1=2'])
    const uneven = { bases: [slow, fast], services: [slow, fast] }
    expect(list(2, 1, false, uneven)).toEqual([
      ...['cpu:0 with a', 'cpu:0, a on cpu:1'],
      ...['cpu:1 with a', 'cpu:1, a on cpu:0'],
    ])
  })

  it('computes beside the UNet only where no device is kept for ControlNets', () => {
    const [first, kept] = devices(2)
    expect(list(2, 1, false, { bases: [first], services: [kept], coLocated: false })).toEqual(['cpu:0, a on cpu:1'])
    expect(list(2, 1, false, { bases: [first], services: [], coLocated: false })).toEqual(['cpu:0 with a'])
    expect(list(2, 2, false, { bases: [first], fixed: [kept, first] })).toEqual(['cpu:0 with b, a on cpu:1'])
  })
})
