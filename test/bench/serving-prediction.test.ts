import { describe, expect, it } from 'vitest'
import { summarizeCells } from '../../bench/scenarios/addons.js'
import { calibrate, type Calibration } from '../../bench/serving/calibrate.js'
import type { MeasuredJob } from '../../bench/serving/driver.js'
import { predictionError } from '../../bench/serving/figures.js'
import { predictLatency } from '../../bench/serving/predict-job.js'
import { cutIntoSegments, simulatedSegments } from '../../bench/serving/replay-segments.js'
import { createShapeDraw, SHAPES } from '../../bench/serving/serving-job.js'
import { drawnTimes, meanTimes, type StageSamples } from '../../bench/serving/stage-samples.js'
import { predictScaling, predictServed, rateForLoad, simulatedJobs } from '../../bench/serving/trace-prediction.js'
import { STRATEGY_NAMES } from '../../bench/simulator/strategies.js'
import { generateTrace } from '../../bench/trace/generate-trace.js'
import { services } from '../../bench/trace/services.js'
import type { DeviceStep } from '../../src/daemon/protocol/event.js'

const samples: StageSamples = {
  ...{ promptMs: [60], encoderMs: [200], decoderMs: [300], controlNetMs: [150], halfShare: 0.6, betweenStepsMs: [2] },
  ...{ transferMs: [1], exchangeMs: [3], vaeMs: [40], loraLoadMs: [20], loraPatchMs: [70], controlNetLoadMs: [80] },
}
const calibration: Calibration = { samples, sharing: { contention: 1, cores: 8 } }
const STEPS = 10
const slots = { controlNets: 5, loraSets: 10 }

/** A job whose steps are all alike, and whose image takes 40 ms. */
function measured(latencyMs: number, devices: readonly DeviceStep[], elapsedMs: number, id = 'a'): MeasuredJob {
  const [submittedMs, finishedMs] = [1000, 1000 + latencyMs]
  const steps = Array.from({ length: STEPS }, () => ({ elapsedMs, devices }))
  return { id, submittedMs, decodingMs: finishedMs - 40, finishedMs, steps }
}

describe('the calibration', () => {
  const device = (role: DeviceStep['role'], times: Partial<DeviceStep>) => ({ device: 'cpu:0', role, ...times })
  const base = (encoderMs: number, decoderMs: number) => device('base', { encoderMs, decoderMs })

  it('finds stage times in what devices and workers report', () => {
    const loaded = (kind: 'lora' | 'controlnet', elapsedMs: number) => {
      return [{ device: 'cpu:0', kind, paths: [], cached: false, byteLength: 1, elapsedMs }]
    }
    const controlNet = device('controlnet', { controlNetMs: 150, messageMs: 1 })
    const jobs = {
      bare: [measured(100 + 502 * STEPS, [base(200, 300)], 502)],
      pair: [measured(0, [base(210, 315)], 527)],
      oneControlNet: [measured(0, [base(200, 300), controlNet], 650, 'c')],
      service: [measured(0, [base(200, 300), controlNet], 500)],
      halves: [measured(0, [base(126, 189), { ...base(126, 189), role: 'second', messageMs: 3 } as const], 318)],
      loras: [measured(0, [], 500, 'l')],
      overlays: [{ name: 'x', device: 'cpu:0', cached: false, bytes: 1, elapsedMs: 180 }],
      prepared: new Map([
        ['c', loaded('controlnet', 80)],
        ['l', loaded('lora', 40)],
      ]),
    }
    const { samples: found, sharing } = calibrate(jobs, 3)
    expect(sharing).toEqual({ contention: expect.closeTo(1.05) as number, cores: 3 })
    expect(meanTimes(found)).toEqual(meanTimes(samples))
  })

  it('is used by its means, or by drawing from it', () => {
    const uneven = { ...samples, promptMs: [1, 9] }
    expect(meanTimes(uneven)).toMatchObject({ promptMs: 5, halfShare: 0.6 })
    let next = 0
    const drawn = drawnTimes(uneven, () => 0.5 * (next++ % 2))
    expect([drawn.promptMs, drawn.promptMs]).toEqual([1, 9])
    expect(() => meanTimes({ ...samples, vaeMs: [] }).vaeMs).toThrow('vaeMs')
  })

  it('makes predictions that jobs of these latencies confirm', () => {
    const draw = createShapeDraw()
    const cells = STRATEGY_NAMES.flatMap((name) =>
      SHAPES.map((shape) => {
        return [`${name} ${shape}`, [measured(predictLatency(name, draw(shape), STEPS, calibration), [], 1)]] as const
      }),
    )
    const jobs = Object.fromEntries(cells) as unknown as Parameters<typeof summarizeCells>[0]
    const { figures, svg } = summarizeCells(jobs, calibration, STEPS)
    for (const name of STRATEGY_NAMES) expect(figures[`${name}: prediction error`].value).toBeCloseTo(0, 9)
    const bare = 60 + 502 * STEPS + 40
    // The overlays take 140 after they were read: as long as loading the ControlNet and encoding the prompt.
    expect(figures['serial 1C2L'].value).toBe(40 + 80 + bare + 150 * STEPS)
    expect(figures['control 1C0L'].value).toBe(bare)
    expect(figures['halves 0C0L'].value).toBe(60 + (300 + 3 + 2) * STEPS + 40)
    // They are read before the prompt, and in before the bound.
    expect(figures['all: 1C2L, of bare'].value).toBeCloseTo((40 + bare) / bare, 9)
    expect(svg).toContain('measured')
    expect(svg).toContain('1C2L')
    expect(predictionError(80, 100)).toBeCloseTo(0.2, 9)
  })
})

describe('segments of a trace', () => {
  const request = (arrivalMs: number, loras: number[]) => ({ arrivalMs, controlNets: [], loras })

  it('begin anew each, and go on in one simulation long after one another', () => {
    const segments = cutIntoSegments([request(5, [1]), request(9, [2]), request(14, [3])], 2)
    expect(segments).toEqual([[request(5, [1]), request(9, [2])], [request(5, [3])]])
    const [first, second, third] = simulatedSegments(segments, 4)
    expect([first, second]).toMatchObject([
      { arrivalMs: 5, steps: 4, loras: [1] },
      { arrivalMs: 9, loras: [2] },
    ])
    expect(third.arrivalMs).toBeGreaterThan(1e6)
    const [slow, fast] = [2, 1].map((promptMs) => ({ ...meanTimes(samples), promptMs }))
    expect(simulatedSegments(segments, 4, [slow, fast]).map(({ times }) => times?.promptMs)).toEqual([2, 2, 1])
  })
})

describe('the prediction of a trace', () => {
  const options = { service: services.A, requests: 60, seed: 1 }
  const served = { calibration, slots, devices: 2 } as const
  const jobsAt = (requestsPerMinute: number) => simulatedJobs(generateTrace({ ...options, requestsPerMinute }), STEPS)

  it('finds the rate at which the strategy with the least room is busy for a share of the time', () => {
    const rate = rateForLoad(0.5, served, jobsAt(1))
    const busy = STRATEGY_NAMES.map((name) => {
      const { serviceMs } = predictServed(name, served, jobsAt(rate)).summary
      return (serviceMs.mean * rate) / 60_000 / (name === 'serial' || name === 'lora' ? 2 : 1)
    })
    expect(Math.max(...busy)).toBeCloseTo(0.5, 2)
  })

  it('loses less to loading with the ideas than without, and finds more in caches', () => {
    const all = (['serial', 'control', 'all'] as const).map((name) => predictServed(name, served, jobsAt(5)))
    const losses = all.map(({ summary }) => summary.loadingMs)
    expect(losses).toEqual(losses.toSorted((a, b) => b - a))
    expect(all.map(({ controlNets }) => controlNets.hits > 0)).toEqual([false, true, true])
    expect(all.map(({ loraSets }) => loraSets.hits > 0)).toEqual([false, false, true])
  })

  it('has everything on one device where there is no other', () => {
    const [one, two] = ([1, 2] as const).map((devices) => predictServed('control', { ...served, devices }, jobsAt(1)))
    expect(one.summary.serviceMs.mean).toBeGreaterThan(two.summary.serviceMs.mean)
  })

  it('covers every number of devices and strategy', () => {
    const scaling = predictScaling({ ...options, calibration, slots, devices: [1, 4], steps: STEPS, rate: 1 })
    for (const name of STRATEGY_NAMES) expect(scaling[name].every((ms) => ms > 0 && Number.isFinite(ms))).toBe(true)
    expect(scaling.all[1]).toBeLessThan(scaling.serial[1])
  })
})
