import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { gpuDevice, parseDevices } from '../workers/devices.js'
import { costsOf, openProfiles, type Profiles } from './profiles.js'
import type { Subject } from './subject.js'

const SUBJECT: Subject = {
  ...{ model: { path: '/model' }, modelKey: '/model 1', latents: [4, 16, 16], rows: { full: 2, half: 1 } },
  controls: [
    { path: '/canny', key: '/canny 1' },
    { path: '/depth', key: '/depth 1' },
  ],
}
const BARE: Subject = { ...SUBJECT, controls: [] }
const [DEVICE, EQUAL, OTHER] = parseDevices(['cpu:0=1', 'cpu:1=1', 'cpu:2=2'])
const AT = { device: DEVICE }
const TIMES = { encoderMs: 2, decoderMs: 3 }

let directory: string
let file: string
const open = (): Profiles => openProfiles(directory, pino({ enabled: false }))

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'swiftd-profiles-'))
  file = join(directory, 'stage-times.json')
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

describe('profiles', () => {
  it('know a job once its model and all of its ControlNets are measured', () => {
    const profiles = open()
    profiles.put(SUBJECT, AT, { ...TIMES, controlNetMs: 1 }, 0)
    expect(profiles.times(BARE, DEVICE)).toEqual({ ...TIMES, controlNetMs: [] })
    expect(profiles.times(SUBJECT, DEVICE)).toBeUndefined()
    profiles.put(SUBJECT, AT, { ...TIMES, controlNetMs: 4 }, 1)
    expect(profiles.times(SUBJECT, DEVICE)).toEqual({ ...TIMES, controlNetMs: [1, 4] })
    const turned = { ...SUBJECT, controls: [...SUBJECT.controls].reverse() }
    expect(profiles.times(turned, DEVICE)).toEqual({ ...TIMES, controlNetMs: [4, 1] })
  })

  it('tell devices, threads, precisions, sizes, rows, architectures and what computes beside it apart', () => {
    const profiles = open()
    profiles.put(BARE, { device: DEVICE, beside: EQUAL }, TIMES)
    const half = (subject: Subject, device = DEVICE, beside = EQUAL) => profiles.times(subject, device, beside)
    expect(half(BARE)).toBeDefined()
    expect(profiles.times(BARE, DEVICE)).toBeUndefined()
    expect(half(BARE, EQUAL, DEVICE)).toBeUndefined()
    expect(half(BARE, { ...DEVICE, threads: 2 })).toBeUndefined()
    expect(half(BARE, DEVICE, { ...EQUAL, threads: 2 })).toBeUndefined()
    expect(half(BARE, { ...DEVICE, precision: 'float16' })).toBeUndefined()
    expect(half({ ...BARE, latents: [4, 16, 24] })).toBeUndefined()
    expect(half({ ...BARE, rows: { full: 4, half: 2 } })).toBeUndefined()
    expect(half({ ...BARE, modelKey: '/model 2' })).toBeUndefined()
  })

  it('count for all devices of a kind, the shortest of each stage', () => {
    const profiles = open()
    const costs = costsOf(profiles, SUBJECT, [DEVICE, EQUAL, OTHER])
    const put = (device: typeof DEVICE, encoderMs: number, decoderMs: number) => {
      for (const control of [0, 1])
        profiles.put(SUBJECT, { device }, { encoderMs, decoderMs, controlNetMs: 1 }, control)
    }
    put(DEVICE, 2, 5)
    put(OTHER, 1, 1)
    expect(costs.whole('cpu:1')).toBeUndefined()
    put(EQUAL, 3, 4)
    const both = { encoderMs: 2, decoderMs: 4, controlNetMs: [1, 1] }
    expect([costs.whole('cpu:0'), costs.whole('cpu:1')]).toEqual([both, both])
    expect(costs.whole('cpu:2')).toMatchObject({ encoderMs: 1 })
    expect(costs.whole('cpu:3')).toBeUndefined()
  })

  it('count, of two devices side by side and of their messages, for all pairs of the same kinds', () => {
    const profiles = open()
    const [third, large] = parseDevices(['cpu:2=1', 'cpu:3=2'])
    const costs = costsOf(profiles, BARE, [DEVICE, EQUAL, third, large])
    profiles.put(BARE, { device: DEVICE, beside: EQUAL }, TIMES)
    profiles.putMessage(DEVICE, large, 0.5)
    expect(costs.half('cpu:2', 'cpu:1')).toEqual({ ...TIMES, controlNetMs: [] })
    expect(costs.half('cpu:0', 'cpu:3')).toBeUndefined()
    expect(costs.half('cpu:4', 'cpu:0')).toBeUndefined()
    expect([costs.messageMs('cpu:1', 'cpu:3'), costs.messageMs('cpu:3', 'cpu:2')]).toEqual([0.5, 0.5])
    expect(costs.messageMs('cpu:0', 'cpu:1')).toBeUndefined()
  })

  it('belong to a card, and count for equal cards, but not where nothing is known of them', () => {
    const profiles = open()
    const [card, other] = [{ name: 'Card A' }, { name: 'Card B' }]
    const gpus = [gpuDevice('cuda', 0, card), gpuDevice('cuda', 1, card), gpuDevice('cuda', 2, other)]
    for (const gpu of gpus) profiles.put(BARE, { device: gpu }, { encoderMs: 10 - gpu.index, decoderMs: 1 })
    const { whole } = costsOf(profiles, BARE, gpus)
    expect(gpus.map(({ name }) => whole(name)?.encoderMs)).toEqual([9, 9, 8])
    expect(profiles.times(BARE, gpuDevice('cuda', 0, other))).toBeUndefined()
    const unknown = [gpuDevice('webgpu', 0), gpuDevice('webgpu', 1)]
    for (const gpu of unknown) profiles.put(BARE, { device: gpu }, { encoderMs: 5 - gpu.index, decoderMs: 1 })
    expect(costsOf(profiles, BARE, unknown).whole('webgpu:0')?.encoderMs).toBe(5)
  })

  it('outlive the daemon', async () => {
    const profiles = open()
    profiles.put(BARE, AT, TIMES)
    await profiles.save()
    expect(open().times(BARE, DEVICE)).toEqual({ ...TIMES, controlNetMs: [] })
  })

  it('ignore what another version measured, and entries that are damaged', async () => {
    const profiles = open()
    profiles.put(BARE, AT, TIMES)
    await profiles.save()
    const { entries } = JSON.parse(readFileSync(file, 'utf8')) as { entries: Record<string, unknown>[] }
    writeFileSync(file, JSON.stringify({ entries: [...entries, 'what', { version: 3 }] }))
    expect(open().times(BARE, DEVICE)).toBeDefined()
    writeFileSync(file, JSON.stringify({ entries: entries.map((entry) => ({ ...entry, version: '0.0.1' })) }))
    expect(open().times(BARE, DEVICE)).toBeUndefined()
  })

  it('begin anew where the file is damaged', async () => {
    for (const text of ['', 'nonsense', '[]', '{"entries":3}']) {
      writeFileSync(file, text)
      expect(open().times(BARE, DEVICE)).toBeUndefined()
    }
    const profiles = open()
    profiles.put(BARE, AT, TIMES)
    await profiles.save()
    expect(open().times(BARE, DEVICE)).toBeDefined()
  })

  it('do without a directory that cannot be written', async () => {
    writeFileSync(join(directory, 'file'), '')
    const profiles = openProfiles(join(directory, 'file'), pino({ enabled: false }))
    profiles.put(BARE, AT, TIMES)
    await profiles.save()
    expect(profiles.times(BARE, DEVICE)).toBeDefined()
  })
})
