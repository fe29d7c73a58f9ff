import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readOptions } from '../../bench/options.js'
import { createAddonFiles } from '../../bench/serving/addon-files.js'
import { lostMs } from '../../bench/serving/calibrate.js'
import { checkPlacement } from '../../bench/serving/check-placement.js'
import type { MeasuredJob } from '../../bench/serving/driver.js'
import { devicesPlot, latencyBars } from '../../bench/serving/figures.js'
import { measureInTurn } from '../../bench/serving/in-turn.js'
import { readMeasuredJob } from '../../bench/serving/measured-job.js'
import { countHits, readPrepared } from '../../bench/serving/prepared.js'
import { replay } from '../../bench/serving/replay.js'
import { createShapeDraw, servingRequest, SHAPES } from '../../bench/serving/serving-job.js'
import { prepareServingModel } from '../../bench/serving/serving-model.js'
import { servingStrategy } from '../../bench/serving/serving-strategies.js'
import type { DeviceStep, JobEvent } from '../../src/daemon/protocol/event.js'

const STEPS = 4

/** A job of a few steps. */
function measured(id = 'a'): MeasuredJob {
  const steps = Array.from({ length: STEPS }, () => ({ elapsedMs: 1, devices: [] }))
  return { id, submittedMs: 1000, decodingMs: 1005, finishedMs: 1010, steps }
}

describe('the strategies in requests', () => {
  it('ask for caches off, placements, bounds and halves', () => {
    expect(servingStrategy('serial').environment).toEqual({
      ...{ SWIFTD_DEVICES: 'cpu:0=1,cpu:1=1', SWIFTD_CONTROLNET_CACHE_MB: '0', SWIFTD_LORA_CACHE_MB: '0' },
    })
    expect(servingStrategy('all').environment).toEqual({ SWIFTD_DEVICES: 'cpu:0=1,cpu:1=1' })
    expect(servingStrategy('serial').fields('cpu:1', 2)).toEqual({
      placement: { baseDevice: 'cpu:1', controlNetDevices: ['cpu:1'] },
      ...{ latentParallel: false, loraBound: 0 },
    })
    expect(servingStrategy('control').fields('cpu:0', 1)).toEqual({
      placement: { baseDevice: 'cpu:0', controlNetDevices: ['cpu:1'] },
      ...{ latentParallel: false, loraBound: 0 },
    })
    expect(servingStrategy('halves').fields('cpu:0', 1).placement).toMatchObject({ secondDevice: 'cpu:1' })
  })

  it('have every role on one device, with the same daemon, where only one is to be used', () => {
    expect(servingStrategy('all', 1).fields('cpu:0', 0)).toEqual({
      placement: { baseDevice: 'cpu:0', controlNetDevices: ['cpu:0'] },
      ...{ latentParallel: false, loraBound: 0.2 },
    })
    expect(servingStrategy('serial', 1).bases).toEqual(['cpu:0'])
    expect(servingStrategy('lora', 1).environment).toEqual(servingStrategy('lora').environment)
  })

  it('give the second device to ControlNets where all are together and there are some, else to the halves', () => {
    const { fields } = servingStrategy('all')
    expect(fields('cpu:0', 1)).toMatchObject({ latentParallel: false, placement: { controlNetDevices: ['cpu:1'] } })
    expect(fields('cpu:0', 0)).toMatchObject({ latentParallel: true, loraBound: 0.2 })
  })

  it('are written into requests of the demo model, each with LoRAs that no job had before', async () => {
    const cacheDirectory = mkdtempSync(join(tmpdir(), 'swiftd-serving-'))
    try {
      const model = await prepareServingModel({ cacheDirectory, sd15: false, size: 128, steps: 4 })
      const files = createAddonFiles(model.addons)
      const draw = createShapeDraw()
      const [first, second] = SHAPES.slice(3).map((shape) =>
        servingRequest(model, files, servingStrategy('lora'), draw(shape)),
      )
      expect(first).toMatchObject({ width: 128, numInferenceSteps: 4, loraBound: 0.2 })
      expect(existsSync(join(first.controls![0].controlNet, 'config.json'))).toBe(true)
      expect(second.controls).toEqual(first.controls)
      const names = [first, second].flatMap(({ loras }) => loras!.map(({ name }) => name))
      expect(new Set(names).size).toBe(3)
      expect(names.every((name) => existsSync(name))).toBe(true)
      files.remove()
      expect(names.some((name) => existsSync(name))).toBe(false)
    } finally {
      rmSync(cacheDirectory, { recursive: true })
    }
  })
})

describe('add-on files', () => {
  it('are as many as are asked for, by links of a few', () => {
    const directory = mkdtempSync(join(tmpdir(), 'swiftd-addons-'))
    mkdirSync(join(directory, 'net'))
    for (const name of ['net/config.json', 'a', 'b']) writeFileSync(join(directory, name), name)
    const [a, b] = ['a', 'b'].map((name) => join(directory, name))
    const files = createAddonFiles({ directory, controlNets: [join(directory, 'net')], loras: [a, b] })
    expect([0, 1, 2].map((each) => readFileSync(files.lora(each), 'utf8'))).toEqual(['a', 'b', 'a'])
    expect(files.lora(2)).toBe(files.lora(2))
    expect(files.lora(2)).not.toBe(files.lora(0))
    expect(readFileSync(join(files.controlNet(5), 'config.json'), 'utf8')).toBe('net/config.json')
    files.remove()
    expect(existsSync(a)).toBe(true)
    rmSync(directory, { recursive: true })
  })
})

describe('a measured job', () => {
  const events = (...list: JobEvent[]) =>
    (async function* () {
      for (const event of list) yield await Promise.resolve(event)
    })()
  const devices: DeviceStep[] = [{ device: 'cpu:0', role: 'base', encoderMs: 4, decoderMs: 7 }]
  const step: JobEvent = {
    type: 'step',
    time: 30,
    step: 1,
    total: 1,
    timestep: 9,
    elapsedMs: 12,
    runtimeMs: 11,
    devices,
  }

  it('is read from its events', async () => {
    const timings = { queuedMs: 0, loadMs: 0, generateMs: 0, runtimeMs: 0 }
    const applied: JobEvent = { type: 'adapters-applied', time: 30, step: 1, loras: ['x'] }
    const decoding: JobEvent = { type: 'phase', time: 40, phase: 'decoding' }
    const completed: JobEvent = { type: 'completed', time: 50, images: [], timings }
    const times = { id: 'a', submittedMs: 10 }
    expect(await readMeasuredJob(times, events(step, applied, step, decoding, completed))).toEqual({
      ...{ ...times, decodingMs: 40, finishedMs: 50, loraStep: 1 },
      steps: [
        { elapsedMs: 12, devices },
        { elapsedMs: 12, devices },
      ],
    })
  })

  it('does not count if it failed, lost its worker or ended early', async () => {
    const failed: JobEvent = { type: 'failed', time: 1, error: { code: 'OUT_OF_MEMORY', message: 'No room.' } }
    const restarted: JobEvent = { type: 'worker-restarted', time: 1, device: 'cpu:0', step: 0, reason: 'killed' }
    await expect(readMeasuredJob({ id: 'a', submittedMs: 0 }, events(failed))).rejects.toThrow(
      'The job failed: No room.',
    )
    await expect(readMeasuredJob({ id: 'a', submittedMs: 0 }, events(restarted))).rejects.toThrow('killed')
    await expect(readMeasuredJob({ id: 'a', submittedMs: 0 }, events(step))).rejects.toThrow('ended early')
  })

  it('lost to loading what is beyond its steps and what a bare job needs around them', () => {
    const steps = [90, 80, 300, 80, 80].map((elapsedMs) => ({ elapsedMs, devices }))
    const job = { id: 'a', submittedMs: 0, decodingMs: 900, finishedMs: 1000, steps, loraStep: 2 }
    expect(lostMs(job, 60)).toBe(1000 - 400 - 60)
  })
})

describe('the placement of a job', () => {
  const placement = { baseDevice: 'cpu:0', controlNetDevices: ['cpu:1'] }
  const controls = [1, 2].map((each) => ({ controlNet: `${each}`, image: '' }))
  const request = { model: 'm', prompt: '', placement, controls }
  const steps = (...names: string[]) => {
    const devices = names.map((name) => {
      const [role, device] = name.split(' ')
      return { role: role as DeviceStep['role'], device }
    })
    return { steps: [{ elapsedMs: 1, devices }] }
  }

  it('is as asked if in every step each device had its role', () => {
    checkPlacement(request, steps('controlnet cpu:1', 'base cpu:0', 'controlnet cpu:1'))
    const halves = { ...placement, secondDevice: 'cpu:1', controlNetDevices: ['cpu:0'] }
    const both = steps('base cpu:0', 'second cpu:1', 'controlnet cpu:0', 'controlnet cpu:1')
    checkPlacement({ ...request, latentParallel: true, placement: halves, controls: controls.slice(1) }, both)
  })

  it('is not if another device did something, or one did nothing', () => {
    const elsewhere = steps('base cpu:0', 'controlnet cpu:0', 'controlnet cpu:1')
    expect(() => checkPlacement(request, elsewhere)).toThrow(/Step 1 was computed by "base cpu:0, controlnet cpu:0/)
    const alone = steps('base cpu:0')
    expect(() => checkPlacement({ ...request, latentParallel: true, controls: [] }, alone)).toThrow(/was asked for/)
  })
})

describe('what workers made ready', () => {
  it('is in the log, by job, and counts as found or not', () => {
    const prepared = (job: string, kind: string, cached: boolean) =>
      JSON.stringify({ job, prepared: { device: 'cpu:0', kind, paths: [], cached, byteLength: 1, elapsedMs: 2 } })
    const directory = mkdtempSync(join(tmpdir(), 'swiftd-log-'))
    const file = join(directory, 'log')
    const lines = [prepared('a', 'lora', false), 'text', '{"job":"a"}', prepared('a', 'lora', true)]
    writeFileSync(file, [...lines, prepared('b', 'controlnet', true)].join('\n'))
    const byJob = readPrepared(file)
    const job = measured()
    expect(countHits([job], byJob)).toEqual({ lora: { hits: 1, misses: 1 }, controlnet: { hits: 0, misses: 0 } })
    expect(byJob.get('b')).toHaveLength(1)
    rmSync(directory, { recursive: true })
  })
})

describe('a replay', () => {
  const request = (arrivalMs: number) => ({ arrivalMs, controlNets: [], loras: [] })

  it('hands requests in order of arrival to whichever base device is free', async () => {
    const taken: string[] = []
    const ends: (() => void)[] = []
    const finished = replay([0, 0, 0].map(request), ['cpu:0', 'cpu:1'], async (_, base) => {
      taken.push(base)
      await new Promise<void>((resolve) => ends.push(resolve))
      return measured()
    })
    await Promise.resolve()
    expect(taken).toEqual(['cpu:0', 'cpu:1'])
    ends[1]()
    await new Promise(setImmediate)
    expect(taken).toEqual(['cpu:0', 'cpu:1', 'cpu:1'])
    ends[0]()
    ends[2]()
    const jobs = await finished
    expect(jobs).toHaveLength(3)
    expect(jobs[2].startedMs).toBeGreaterThanOrEqual(jobs[1].finishedMs)
  })

  it('waits for arrivals', async () => {
    const [job] = await replay([request(50)], ['cpu:0'], () => Promise.resolve(measured()))
    expect(job.startedMs).toBeGreaterThanOrEqual(45)
  })

  it('ends with the first job that fails', async () => {
    const failing = replay([request(0)], ['cpu:0'], () => Promise.reject(new Error('The job failed: No room.')))
    await expect(failing).rejects.toThrow('No room')
  })
})

describe('plots of the figures', () => {
  it('are in seconds, begin at zero, and share a scale where they stand beside each other', () => {
    const bars = latencyBars(
      ['x', 'y'],
      [
        { title: 'a', latencies: { serial: { x: 1000, y: 4000 }, all: { x: 500, y: 2000 } } },
        { title: 'b', latencies: { serial: { x: 100, y: 200 } } },
      ],
    )
    expect(bars).toMatchObject([
      { title: 'a', yMin: 0, yMax: 4.2, labels: ['x', 'y'], series: [{ values: [1, 4] }, { name: 'all' }] },
      { title: 'b', yMin: 0, yMax: 4.2, series: [{ values: [0.1, 0.2] }] },
    ])
    const lines = devicesPlot('t', [1, 8], { serial: [4000, 2000] })
    expect(lines).toMatchObject({
      yMax: 4.2,
      series: [
        {
          points: [
            { x: 0, y: 4 },
            { x: 3, y: 2 },
          ],
        },
      ],
    })
  })
})

describe('measuring in turn', () => {
  it('goes round by round', async () => {
    let count = 0
    const next = () => Promise.resolve(count++)
    expect(await measureInTurn(2, { a: next, b: next })).toEqual({ a: [0, 2], b: [1, 3] })
  })
})

describe("a scenario's options", () => {
  it('are numbers above 0, and only those that were given', () => {
    expect(readOptions({ steps: '12', rate: '0.5', sd15: true })).toEqual({ steps: 12, rate: 0.5, sd15: true })
    expect(readOptions({})).toEqual({ sd15: false })
    expect(() => readOptions({ size: 'big' })).toThrow('--size must be a number above 0, not "big".')
  })
})
