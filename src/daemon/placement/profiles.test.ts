import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
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
const DEVICE = { name: 'cpu:0', threads: 1 }
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
    profiles.put(SUBJECT, DEVICE, 'full', { ...TIMES, controlNetMs: 1 }, 0)
    expect(profiles.times(BARE, DEVICE, 'full')).toEqual({ ...TIMES, controlNetMs: [] })
    expect(profiles.times(SUBJECT, DEVICE, 'full')).toBeUndefined()
    profiles.put(SUBJECT, DEVICE, 'full', { ...TIMES, controlNetMs: 4 }, 1)
    expect(profiles.times(SUBJECT, DEVICE, 'full')).toEqual({ ...TIMES, controlNetMs: [1, 4] })
    const turned = { ...SUBJECT, controls: [...SUBJECT.controls].reverse() }
    expect(profiles.times(turned, DEVICE, 'full')).toEqual({ ...TIMES, controlNetMs: [4, 1] })
  })

  it('tell devices, threads, sizes, rows and architectures apart', () => {
    const profiles = open()
    profiles.put(BARE, DEVICE, 'half', TIMES)
    const half = (subject: Subject, device = DEVICE) => profiles.times(subject, device, 'half')
    expect(half(BARE)).toBeDefined()
    expect(profiles.times(BARE, DEVICE, 'full')).toBeUndefined()
    expect(half(BARE, { name: 'cpu:1', threads: 1 })).toBeUndefined()
    expect(half(BARE, { name: 'cpu:0', threads: 2 })).toBeUndefined()
    expect(half({ ...BARE, latents: [4, 16, 24] })).toBeUndefined()
    expect(half({ ...BARE, modelKey: '/model 2' })).toBeUndefined()
    // What matters is how many rows there are, not which share of a batch they were.
    expect(profiles.times({ ...BARE, rows: { full: 1, half: 1 } }, DEVICE, 'full')).toBeDefined()
  })

  it('count for all devices of a kind, the shortest of each stage', () => {
    const profiles = open()
    const [equal, other] = [
      { name: 'cpu:1', threads: 1 },
      { name: 'cpu:2', threads: 2 },
    ]
    const costs = costsOf(profiles, SUBJECT, [DEVICE, equal, other])
    const put = (device: typeof DEVICE, encoderMs: number, decoderMs: number) => {
      for (const control of [0, 1])
        profiles.put(SUBJECT, device, 'full', { encoderMs, decoderMs, controlNetMs: 1 }, control)
    }
    put(DEVICE, 2, 5)
    put(other, 1, 1)
    expect(costs('cpu:1', 'full')).toBeUndefined()
    put(equal, 3, 4)
    const both = { encoderMs: 2, decoderMs: 4, controlNetMs: [1, 1] }
    expect([costs('cpu:0', 'full'), costs('cpu:1', 'full')]).toEqual([both, both])
    expect(costs('cpu:2', 'full')).toMatchObject({ encoderMs: 1 })
    expect(costs('cpu:3', 'full')).toBeUndefined()
  })

  it('outlive the daemon', async () => {
    const profiles = open()
    profiles.put(BARE, DEVICE, 'full', TIMES)
    await profiles.save()
    expect(open().times(BARE, DEVICE, 'full')).toEqual({ ...TIMES, controlNetMs: [] })
  })

  it('ignore what another version measured, and entries that are damaged', async () => {
    const profiles = open()
    profiles.put(BARE, DEVICE, 'full', TIMES)
    await profiles.save()
    const { entries } = JSON.parse(readFileSync(file, 'utf8')) as { entries: Record<string, unknown>[] }
    writeFileSync(file, JSON.stringify({ entries: [...entries, 'what', { version: 3 }] }))
    expect(open().times(BARE, DEVICE, 'full')).toBeDefined()
    writeFileSync(file, JSON.stringify({ entries: entries.map((entry) => ({ ...entry, version: '0.0.1' })) }))
    expect(open().times(BARE, DEVICE, 'full')).toBeUndefined()
  })

  it('begin anew where the file is damaged', async () => {
    for (const text of ['', 'nonsense', '[]', '{"entries":3}']) {
      writeFileSync(file, text)
      expect(open().times(BARE, DEVICE, 'full')).toBeUndefined()
    }
    const profiles = open()
    profiles.put(BARE, DEVICE, 'full', TIMES)
    await profiles.save()
    expect(open().times(BARE, DEVICE, 'full')).toBeDefined()
  })

  it('do without a directory that cannot be written', async () => {
    writeFileSync(join(directory, 'file'), '')
    const profiles = openProfiles(join(directory, 'file'), pino({ enabled: false }))
    profiles.put(BARE, DEVICE, 'full', TIMES)
    await profiles.save()
    expect(profiles.times(BARE, DEVICE, 'full')).toBeDefined()
  })
})
