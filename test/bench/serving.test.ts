import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readOptions } from '../../bench/options.js'
import { summarizeCells } from '../../bench/scenarios/addons.js'
import { createAddonFiles } from '../../bench/serving/addon-files.js'
import { calibrate } from '../../bench/serving/calibrate.js'
import type { MeasuredJob } from '../../bench/serving/driver.js'
import { devicesPlot, latencyBars, lostMs } from '../../bench/serving/figures.js'
import { measureInTurn } from '../../bench/serving/in-turn.js'
import { readMeasuredJob } from '../../bench/serving/measured-job.js'
import { predictLatency } from '../../bench/serving/predict-job.js'
import { replay } from '../../bench/serving/replay.js'
import { createShapeDraw, servingRequest, SHAPES } from '../../bench/serving/serving-job.js'
import { prepareServingModel } from '../../bench/serving/serving-model.js'
import { servingStrategy } from '../../bench/serving/serving-strategies.js'
import { predictScaling, predictServed, rateForLoad, simulatedJobs } from '../../bench/serving/trace-prediction.js'
import type { StageTimes } from '../../bench/simulator/model.js'
import { STRATEGY_NAMES } from '../../bench/simulator/strategies.js'
import { generateTrace } from '../../bench/trace/generate-trace.js'
import { services } from '../../bench/trace/services.js'
import type { JobEvent } from '../../src/daemon/protocol/event.js'

/** As `calibrate` sees a machine: encoder and ControlNet are alike, nothing is transferred. */
const times: StageTimes = {
  ...{ promptMs: 60, encoderMs: 200, decoderMs: 300, controlNetMs: 200, halfShare: 0.6, transferMs: 0, exchangeMs: 0 },
  ...{ vaeMs: 0, loraLoadMs: 0, loraPatchMs: 70, controlNetLoadMs: 600 },
}
const STEPS = 10

function measured(latencyMs: number, stepMs: number, steps = STEPS): MeasuredJob {
  return { submittedMs: 1000, startedMs: 1000, finishedMs: 1000 + latencyMs, stepMs: Array<number>(steps).fill(stepMs) }
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

  it('give the second device to ControlNets where all are together and there are some, else to the halves', () => {
    const { fields } = servingStrategy('all')
    expect(fields('cpu:0', 1)).toMatchObject({ latentParallel: false, placement: { controlNetDevices: ['cpu:1'] } })
    expect(fields('cpu:0', 0)).toMatchObject({ latentParallel: true, loraBound: 0.2 })
  })

  it('are written into requests of the demo model, each with LoRAs that no job had before', async () => {
    const cacheDirectory = mkdtempSync(join(tmpdir(), 'swiftd-serving-'))
    try {
      const model = await prepareServingModel({ cacheDirectory, quick: true, size: 128, steps: 4 })
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
  const step: JobEvent = { type: 'step', time: 30, step: 1, total: 1, timestep: 999, elapsedMs: 12, runtimeMs: 11 }

  it('is read from its events', async () => {
    const timings = { queuedMs: 0, loadMs: 0, generateMs: 0, runtimeMs: 0 }
    const completed: JobEvent = { type: 'completed', time: 50, images: [], timings }
    const list = events({ type: 'started', time: 20, device: 'cpu:0' }, step, step, completed)
    expect(await readMeasuredJob(10, list)).toEqual({
      submittedMs: 10,
      startedMs: 20,
      finishedMs: 50,
      stepMs: [12, 12],
    })
  })

  it('does not count if it failed, lost its worker or ended early', async () => {
    const failed: JobEvent = { type: 'failed', time: 1, error: { code: 'OUT_OF_MEMORY', message: 'No room.' } }
    const restarted: JobEvent = { type: 'worker-restarted', time: 1, device: 'cpu:0', step: 0, reason: 'killed' }
    await expect(readMeasuredJob(0, events(failed))).rejects.toThrow('The job failed: No room.')
    await expect(readMeasuredJob(0, events(restarted))).rejects.toThrow('killed')
    await expect(readMeasuredJob(0, events(step))).rejects.toThrow('ended early')
  })

  it('lost to loading what is beyond its steps and what a bare job needs around them', () => {
    const job = { ...measured(1000, 80), stepMs: [80, 80, 300, 80, 80] }
    expect(lostMs(job, 60)).toBe(1000 - 400 - 60)
    expect(lostMs(measured(800, 80), 60)).toBe(0)
  })
})

describe('the calibration', () => {
  it('finds the stage times that explain the latencies on one device', () => {
    const jobs = {
      bare: [measured(60 + 500 * STEPS, 500)],
      half: [measured(60 + 300 * STEPS, 300)],
      oneControlNet: [measured(600 + 60 + 700 * STEPS, 700)],
      oneLora: [measured(70 + 60 + 500 * STEPS, 500)],
    }
    expect(calibrate(jobs)).toEqual(times)
  })

  it('makes predictions that the same jobs confirm', () => {
    const draw = createShapeDraw()
    const cells = STRATEGY_NAMES.flatMap((name) =>
      SHAPES.map((shape) => {
        const latency = predictLatency(name, draw(shape), STEPS, times)
        const step = name === 'serial' && shape.startsWith('1C') ? 700 : 500
        return [`${name} ${shape}`, [measured(latency, step)]] as const
      }),
    )
    const jobs = Object.fromEntries(cells) as unknown as Parameters<typeof summarizeCells>[0]
    const { figures, svg } = summarizeCells(jobs, [measured(60 + 300 * STEPS, 300)], STEPS)
    for (const name of STRATEGY_NAMES) {
      figures[`${name}: predicted, of measured`].samples.forEach((share) => expect(share).toBeCloseTo(1, 9))
    }
    expect(figures['serial 1C2L'].value).toBe(600 + 140 + 60 + 700 * STEPS)
    expect(figures['control 1C0L'].value).toBe(60 + 500 * STEPS)
    expect(figures['halves 0C0L'].value).toBe(60 + 300 * STEPS)
    expect(figures['all: 1C2L, of bare'].value).toBeCloseTo((60 + 5000 + 140) / (60 + 5000), 9)
    expect(svg).toContain('measured')
    expect(svg).toContain('1C2L')
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
      return measured(1, 1)
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
    const [job] = await replay([request(50)], ['cpu:0'], () => Promise.resolve(measured(1, 1)))
    expect(job.startedMs).toBeGreaterThanOrEqual(45)
  })

  it('ends with the first job that fails', async () => {
    const failing = replay([request(0)], ['cpu:0'], () => Promise.reject(new Error('The job failed: No room.')))
    await expect(failing).rejects.toThrow('No room')
  })
})

describe('the prediction of a trace', () => {
  const options = { service: services.A, requests: 60, seed: 1 }

  it('finds the rate for a load: serial jobs then keep two devices busy for that share', () => {
    const rate = rateForLoad(0.5, times, simulatedJobs(generateTrace({ ...options, requestsPerMinute: 1 }), STEPS))
    const jobs = simulatedJobs(generateTrace({ ...options, requestsPerMinute: rate }), STEPS)
    const { serviceMs } = predictServed('serial', times, jobs)
    expect((serviceMs.mean * rate) / 60_000).toBeCloseTo(1, 6)
  })

  it('loses less to loading with the ideas than without', () => {
    const jobs = simulatedJobs(generateTrace({ ...options, requestsPerMinute: 5 }), STEPS)
    const losses = (['serial', 'control', 'all'] as const).map((name) => predictServed(name, times, jobs).loadingMs)
    expect(losses).toEqual(losses.toSorted((a, b) => b - a))
  })

  it('covers every number of devices and strategy', () => {
    const scaling = predictScaling({ ...options, times, devices: [1, 4], steps: STEPS, rate: 1 })
    for (const name of STRATEGY_NAMES) expect(scaling[name].every((ms) => ms > 0 && Number.isFinite(ms))).toBe(true)
    expect(scaling.all[1]).toBeLessThan(scaling.serial[1])
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
    expect(readOptions({ steps: '12', rate: '0.5', quick: true })).toEqual({ steps: 12, rate: 0.5, quick: true })
    expect(readOptions({})).toEqual({ quick: false })
    expect(() => readOptions({ size: 'big' })).toThrow('--size must be a number above 0, not "big".')
  })
})
