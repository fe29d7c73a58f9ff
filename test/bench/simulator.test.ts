import { describe, expect, it } from 'vitest'
import { candidateLayouts, predict, simulateLayout } from '../../bench/simulator/layouts.js'
import type { DeviceSpec, Role, SimulatedJob, StageTimes, Strategy } from '../../bench/simulator/model.js'
import { simulate } from '../../bench/simulator/simulate.js'
import { strategyOf } from '../../bench/simulator/strategies.js'
import { hitShare, percentiles, summarizeJobs, utilisation } from '../../bench/simulator/summary.js'

/** Every sum of some of these tells which ones it is made of. */
const times: StageTimes = {
  ...{ promptMs: 10, encoderMs: 200, decoderMs: 300, controlNetMs: 150, halfShare: 0.5, transferMs: 20, exchangeMs: 4 },
  ...{ betweenStepsMs: 0, vaeMs: 50, loraLoadMs: 1000, loraPatchMs: 70, controlNetLoadMs: 600 },
}
const serial: Strategy = {
  ...{ controlNets: 'co-located', loras: { mode: 'serial' }, latentParallel: false },
  ...{ controlNetCache: { slots: 0 }, loraCache: { slots: 0 }, overlayCache: { slots: 0 } },
}
const service: Strategy = { ...serial, controlNets: 'service', controlNetCache: { slots: 4 } }

const base = device('base')
const second = device('second')
const control = device('controlNet')

function device(role: Role, change: Partial<StageTimes> = {}, name: string = role): DeviceSpec {
  return { name, role, times: { ...times, ...change } }
}

function job(change: Partial<SimulatedJob> = {}): SimulatedJob {
  return { arrivalMs: 0, steps: 2, controlNets: [], loras: [], ...change }
}

/** From arrival to the end of each job. */
function latencies(strategy: Strategy, devices: readonly DeviceSpec[], jobs: readonly SimulatedJob[]): number[] {
  return simulate({ strategy, devices, jobs }).jobs.map(({ arrivalMs, finishedMs }) => finishedMs - arrivalMs)
}

describe('one job', () => {
  it('without add-ons takes prompt + steps * (E + D) + VAE', () => {
    expect(latencies(serial, [base], [job()])).toEqual([10 + 2 * 500 + 50])
  })

  it('in one worker without caches loads, patches and runs everything in turn, all but one ControlNet twice', () => {
    const { jobs, caches } = simulate({
      ...{ strategy: serial, devices: [base] },
      jobs: [job({ controlNets: [1, 2], loras: [3, 4] })],
    })
    expect(jobs[0]).toEqual({
      ...{ arrivalMs: 0, startedMs: 0, finishedMs: 2000 + 140 + 1200 + 10 + 600 + 2 * (300 + 500) + 50 },
      ...{ loadingMs: 3800, patchingMs: 140, residualWaitMs: 0, loraStep: 0 },
    })
    expect(caches).toEqual({
      controlNet: { hits: 0, misses: 2 },
      lora: { hits: 0, misses: 2 },
      overlay: { hits: 0, misses: 1 },
    })
  })

  it('with a ControlNet on its own device has steps of max(E, C + T) + D', () => {
    const devices = (controlNetMs: number) => [base, device('controlNet', { controlNetMs, controlNetLoadMs: 0 })]
    const jobs = [job({ controlNets: [1] })]
    expect(latencies(service, devices(150), jobs)).toEqual([10 + 2 * (200 + 300) + 50])
    expect(latencies(service, devices(250), jobs)).toEqual([10 + 2 * (250 + 20 + 300) + 50])
    expect(simulate({ strategy: service, devices: devices(250), jobs }).jobs[0].residualWaitMs).toBe(2 * 70)
  })

  it('waits in its first step alone for a ControlNet that is not resident', () => {
    // Loaded at 600; the encoder ended at 210; the residuals are there at 770.
    const { jobs } = simulate({ strategy: service, devices: [base, control], jobs: [job({ controlNets: [1] })] })
    expect(jobs[0]).toMatchObject({ finishedMs: 770 + 300 + 500 + 50, loadingMs: 390, residualWaitMs: 170 })
  })

  it('has two ControlNets one after the other on one device, at once on two', () => {
    const fast = { controlNetLoadMs: 0 }
    const [one, other] = [device('controlNet', fast, 'c0'), device('controlNet', fast, 'c1')]
    const jobs = [job({ controlNets: [1, 2] })]
    expect(latencies(service, [base, one], jobs)).toEqual([10 + 2 * (320 + 300) + 50])
    expect(latencies(service, [base, one, other], jobs)).toEqual([10 + 2 * 500 + 50])
  })

  it('computes both halves of the guidance at once on two devices', () => {
    const parallel = { ...serial, latentParallel: true }
    expect(latencies(parallel, [base, second], [job()])).toEqual([10 + 2 * (250 + 4) + 50])
    // Each half with its own ControlNet, the second one's loaded when denoising begins.
    const jobs = [job({ controlNets: [1] })]
    expect(latencies(parallel, [base, second], jobs)).toEqual([600 + 10 + 600 + 2 * (325 + 4) + 50])
  })

  it('spends some time between the steps', () => {
    expect(latencies(serial, [device('base', { betweenStepsMs: 5 })], [job()])).toEqual([10 + 2 * (500 + 5) + 50])
  })

  it('reads each time when it begins to take it, so that it may be another one each time', () => {
    let drawn = 0
    const changing = Object.defineProperty({ ...times }, 'encoderMs', { get: () => 100 * ++drawn })
    const devices = [{ name: 'base', role: 'base', times: changing }] as const
    expect(latencies(serial, devices, [job()])).toEqual([10 + (100 + 300) + (200 + 300) + 50])
  })

  it('takes its own times where it has some, on every device', () => {
    const own = { ...times, encoderMs: 100, decoderMs: 100, controlNetMs: 190, controlNetLoadMs: 0 }
    const jobs = [job({ controlNets: [1] }), job({ controlNets: [2], arrivalMs: 10_000, times: own })]
    const fast = device('controlNet', { controlNetLoadMs: 0 })
    expect(latencies(service, [base, fast], jobs)).toEqual([10 + 2 * 500 + 50, 10 + 2 * (190 + 20 + 100) + 50])
    expect(latencies(serial, [base], [{ ...jobs[1], loras: [1] }])).toEqual([
      1000 + 70 + 10 + 2 * (190 + 100 + 100) + 50,
    ])
  })

  it('goes at the pace of the slower half', () => {
    const slow = device('second', { encoderMs: 400 })
    expect(latencies({ ...serial, latentParallel: true }, [base, slow], [job()])).toEqual([10 + 2 * (350 + 4) + 50])
  })

  it('shares one ControlNet device between its halves', () => {
    const strategy = { ...service, latentParallel: true }
    const fast = device('controlNet', { controlNetLoadMs: 0 })
    // Half a ControlNet takes 75: residuals are there at 95 and at 170, encoders end at 100.
    expect(latencies(strategy, [base, second, fast], [job({ controlNets: [1] })])).toEqual([
      10 + 2 * (170 + 150 + 4) + 50,
    ])
  })
})

describe('LoRAs', () => {
  const beside = (bound: number, patching: 'between-steps' | 'beside-steps' = 'between-steps'): Strategy => ({
    ...serial,
    loras: { mode: 'asynchronous', bound, patching },
  })
  const jobs = [job({ steps: 4, loras: [7] })]

  it('take effect at the first step after they were read, and cost their patching', () => {
    // Read at 1000; steps begin at 10, 510 and 1010.
    const { jobs: results } = simulate({ strategy: beside(4), devices: [base], jobs })
    expect(results[0]).toMatchObject({ loraStep: 2, loadingMs: 0, patchingMs: 70, finishedMs: 10 + 4 * 500 + 70 + 50 })
  })

  it('are waited for at the bound', () => {
    const { jobs: results } = simulate({ strategy: beside(1), devices: [base], jobs })
    expect(results[0]).toMatchObject({ loraStep: 1, loadingMs: 490, finishedMs: 1000 + 70 + 3 * 500 + 50 })
  })

  it('are in from the first step with a bound of 0, read beside the prompt', () => {
    const { jobs: results } = simulate({ strategy: beside(0), devices: [base], jobs })
    expect(results[0]).toMatchObject({ loraStep: 0, loadingMs: 990, finishedMs: 1000 + 70 + 4 * 500 + 50 })
  })

  it('are never left out: a bound behind the last step is the last step', () => {
    const late = device('base', { loraLoadMs: 9000 })
    expect(simulate({ strategy: beside(9), devices: [late], jobs }).jobs[0].loraStep).toBe(3)
  })

  it('are waited for before the prompt where the text encoders need them', () => {
    const strategy: Strategy = {
      ...serial,
      loras: { mode: 'asynchronous', bound: 2, patching: 'beside-steps', readFirst: true },
    }
    // Read at 1000, the prompt encoded at 1010, patched at 1070: in effect from the step that begins at 1510.
    const { jobs: results } = simulate({ strategy, devices: [base], jobs })
    expect(results[0]).toMatchObject({ loraStep: 1, loadingMs: 1000, finishedMs: 1000 + 10 + 4 * 500 + 50 })
  })

  it('are read and patched for each of two halves, on the cores of both', () => {
    const strategy: Strategy = {
      ...serial,
      ...{ latentParallel: true, loras: { mode: 'asynchronous', bound: 0, patching: 'beside-steps', readFirst: true } },
    }
    const latency = (cores: number): number =>
      simulate({ strategy, devices: [base, second], jobs, sharing: { cores } }).jobs[0].finishedMs
    const steps = 4 * (250 + 4) + 50
    expect(latency(3)).toBeCloseTo(1000 + 70 + steps, 6)
    // Both are read at 1000; while the prompt is encoded two cores have three things to do.
    expect(latency(2)).toBeCloseTo(1000 + 15 + 60 + steps, 6)
  })

  it('cost nothing but their delay where they are patched beside the steps', () => {
    // Ready at 1070, so from the step that begins at 1510.
    const { jobs: results } = simulate({ strategy: beside(4, 'beside-steps'), devices: [base], jobs })
    expect(results[0]).toMatchObject({ loraStep: 3, patchingMs: 0, finishedMs: 10 + 4 * 500 + 50 })
  })

  it('are neither read nor patched again while their overlay is cached', () => {
    const strategy = { ...serial, overlayCache: { slots: 1 } }
    const plain = 10 + 2 * 500 + 50
    const later = (arrivalMs: number, loras: number[]) => job({ arrivalMs, loras })
    const all = [later(0, [1, 2]), later(10_000, [2, 1]), later(20_000, [1]), later(30_000, [1, 2])]
    const [both, one] = [2140 + plain, 1070 + plain]
    expect(latencies(strategy, [base], all)).toEqual([both, plain, one, both])
  })

  it('are patched but not read again while their files are cached', () => {
    const strategy = { ...serial, loraCache: { slots: 2 } }
    const all = [job({ loras: [1] }), job({ arrivalMs: 10_000, loras: [1, 2] })]
    expect(latencies(strategy, [base], all)).toEqual([2130, 1000 + 140 + 1060])
  })
})

describe('several jobs', () => {
  it('take turns on one base device, in order of arrival', () => {
    const { jobs, endMs } = simulate({ strategy: serial, devices: [base], jobs: [job(), job({ arrivalMs: 100 })] })
    expect(jobs.map(({ startedMs, finishedMs }) => [startedMs, finishedMs])).toEqual([
      [0, 1060],
      [1060, 2120],
    ])
    expect(endMs).toBe(2120)
  })

  it('run beside each other on two', () => {
    expect(latencies(serial, [base, device('base', {}, 'b1')], [job(), job({ arrivalMs: 100 })])).toEqual([1060, 1060])
  })

  it('slow each other down while both devices work, as far as they share something', () => {
    const devices = [base, device('base', {}, 'b1')]
    const jobs = [job({ steps: 1 }), job({ arrivalMs: 10_000, steps: 1 }), job({ arrivalMs: 10_100, steps: 1 })]
    const result = simulate({ strategy: serial, devices, jobs, sharing: { contention: 1.5 } })
    const [alone, first, later] = result.jobs.map(({ arrivalMs, finishedMs }) => finishedMs - arrivalMs)
    expect(alone).toBeCloseTo(560, 6)
    // Alone until 10100, when 460 are left; the other one has 100 left when it is alone again.
    expect(first).toBeCloseTo(100 + 1.5 * 460, 6)
    expect(later).toBeCloseTo(1.5 * 460 + 100, 6)
    expect(result.devices.map(({ busyMs }) => Math.round(busyMs))).toEqual([560 + 790, 790])
  })

  it('take turns where more devices work than there are cores', () => {
    const devices = ['b0', 'b1', 'b2'].map((name) => device('base', {}, name))
    const jobs = devices.map(() => job({ steps: 1 }))
    const result = simulate({ strategy: serial, devices, jobs, sharing: { cores: 2, contention: 1.1 } })
    for (const { finishedMs } of result.jobs) expect(finishedMs).toBeCloseTo(1.5 * 1.1 * 560, 6)
  })

  it('share one ControlNet device: who comes second waits for the run of the first', () => {
    const devices = [base, device('base', {}, 'b1'), device('controlNet', { controlNetLoadMs: 0 })]
    const jobs = [job({ steps: 1, controlNets: [1] }), job({ steps: 1, controlNets: [1] })]
    // Runs at 10..160 and 160..310; residuals at 180 and 330; encoders end at 210.
    expect(latencies(service, devices, jobs)).toEqual([210 + 300 + 50, 330 + 300 + 50])
  })

  it('load a ControlNet once that both use, and both wait for it', () => {
    const devices = [base, device('base', {}, 'b1'), control]
    const jobs = [job({ controlNets: [1] }), job({ controlNets: [1] })]
    const result = simulate({ strategy: service, devices, jobs })
    expect(result.caches.controlNet).toEqual({ hits: 1, misses: 1 })
    expect(result.jobs.map(({ loadingMs }) => loadingMs)).toEqual([390, 390])
    expect(result.devices[2]).toMatchObject({ busyMs: 4 * 150, loadingMs: 600 })
  })

  it('go to the ControlNet device with the fewest, then to one that has it', () => {
    const devices = [base, device('controlNet', {}, 'c0'), device('controlNet', {}, 'c1')]
    const jobs = [[1, 2], [2], [1]].map((controlNets, index) => job({ arrivalMs: 10_000 * index, controlNets }))
    const result = simulate({ strategy: service, devices, jobs })
    expect(result.caches.controlNet).toEqual({ hits: 2, misses: 2 })
    expect(result.devices.slice(1).map(({ busyMs }) => busyMs)).toEqual([4 * 150, 4 * 150])
  })
})

describe('what is impossible', () => {
  it.each<[string, Strategy, DeviceSpec[], RegExp]>([
    ['no base device', serial, [control], /role base/],
    ['no ControlNet device for the service', service, [base], /role controlNet/],
    ['too few second devices', { ...serial, latentParallel: true }, [base], /1 base devices need as many/],
  ])('is refused: %s', (_, strategy, devices, sentence) => {
    expect(() => simulate({ strategy, devices, jobs: [job()] })).toThrow(sentence)
  })
})

describe('summaries', () => {
  it('take percentiles by nearest rank', () => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index)
    expect(percentiles(values)).toEqual({ mean: 50.5, p50: 50, p95: 95, p99: 99 })
    expect(percentiles([7])).toEqual({ mean: 7, p50: 7, p95: 7, p99: 7 })
  })

  it('count from arrival, and throughput from the first arrival to the last end', () => {
    const jobs = [
      { arrivalMs: 1000, startedMs: 1000, finishedMs: 3000, loadingMs: 500 },
      { arrivalMs: 2000, startedMs: 3000, finishedMs: 5000, loadingMs: 0 },
    ]
    const summary = summarizeJobs(jobs)
    expect(summary).toMatchObject({ jobsPerMinute: 30, loadingMs: 250, loadingShare: 0.125 })
    expect([summary.latencyMs.mean, summary.serviceMs.mean]).toEqual([2500, 2000])
    expect(() => summarizeJobs([])).toThrow(/no jobs/)
  })

  it('tell how busy each device was and what caches had', () => {
    const fast = device('controlNet', { controlNetLoadMs: 0 })
    const result = simulate({ strategy: service, devices: [base, fast], jobs: [job({ controlNets: [1] })] })
    expect(utilisation(result)).toEqual({ base: 1, controlNet: 300 / 1060 })
    expect([hitShare({ hits: 3, misses: 1 }), hitShare({ hits: 0, misses: 0 })]).toEqual([0.75, 1])
  })
})

describe('layouts of N devices', () => {
  const options = { loraBound: 2, controlNetCache: { slots: 8 }, overlayCache: { slots: 10 } }
  const all = strategyOf('all', options)

  it('serve at least one of the ideas where there are devices for one', () => {
    expect(candidateLayouts(all, 1)).toEqual([{ bases: 1, seconds: 0, controlNets: 0 }])
    expect(candidateLayouts(all, 2)).toEqual([
      { bases: 1, seconds: 1, controlNets: 0 },
      { bases: 1, seconds: 0, controlNets: 1 },
    ])
    expect(candidateLayouts(all, 3)).toEqual([
      { bases: 1, seconds: 1, controlNets: 0 },
      { bases: 2, seconds: 0, controlNets: 1 },
      { bases: 1, seconds: 1, controlNets: 1 },
      { bases: 1, seconds: 0, controlNets: 2 },
    ])
    expect(candidateLayouts(strategyOf('serial', options), 8)).toEqual([{ bases: 8, seconds: 0, controlNets: 0 }])
  })

  it('are compared by the mean latency that the simulator predicts', () => {
    const jobs = Array.from({ length: 8 }, (_, index) => job({ arrivalMs: 300 * index, controlNets: [1, 2] }))
    const best = predict(all, 2, times, jobs)
    const means = candidateLayouts(all, 2).map(
      (layout) => summarizeJobs(simulateLayout(all, layout, times, jobs).jobs).latencyMs.mean,
    )
    expect(summarizeJobs(best.result.jobs).latencyMs.mean).toBe(Math.min(...means))
  })

  it('serve a queue faster the more there are, up to 64', () => {
    const jobs = Array.from({ length: 300 }, (_, index) =>
      job({ arrivalMs: 20 * index, controlNets: [index % 5], loras: [index] }),
    )
    const means = [1, 4, 16, 64].map(
      (count) => summarizeJobs(predict(all, count, times, jobs).result.jobs).latencyMs.mean,
    )
    expect(means).toEqual(means.toSorted((a, b) => b - a))
  })
})
