import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Prepared } from '../../src/daemon/workers/job-crew.js'
import { figure, type Figure, type Scenario } from '../harness.js'
import { plotSvg } from '../plot.js'
import { aroundSteps, calibrate, lostMs, type Calibration, type CalibrationJobs } from '../serving/calibrate.js'
import { createCalibrator, mergeRounds, type Calibrator } from '../serving/calibration-jobs.js'
import { createServingDaemons } from '../serving/daemons.js'
import { calibrationFigures, devicesPlot, servingFigures, type ServingReport } from '../serving/figures.js'
import { countHits } from '../serving/prepared.js'
import {
  cutIntoSegments,
  replaySegments,
  simulatedSegments,
  type ReplaySegmentsOptions,
} from '../serving/replay-segments.js'
import type { ReplayedJob } from '../serving/replay.js'
import { prepareServingModel } from '../serving/serving-model.js'
import type { CacheSlots, DeviceCount } from '../serving/serving-strategies.js'
import { drawnTimes, meanTimes } from '../serving/stage-samples.js'
import {
  predictScaling,
  predictServed,
  rateForLoad,
  simulatedJobs,
  type ScalingOptions,
} from '../serving/trace-prediction.js'
import { STRATEGY_NAMES } from '../simulator/strategies.js'
import { summarizeJobs } from '../simulator/summary.js'
import { generateTrace, type TraceRequest } from '../trace/generate-trace.js'
import { createRandom } from '../trace/random.js'
import { services } from '../trace/services.js'

const SERVICE = services.A
const SEED = 1
/**
 * Of the caches of the published trace, those of 5 ControlNets and of 10 LoRAs; here sets of LoRAs are kept. At SD1.5's size
 * a set takes a gigabyte on each device of each strategy's daemon.
 */
const SLOTS: Record<'demo' | 'sd15', CacheSlots> = {
  demo: { controlNets: 5, loraSets: 10 },
  sd15: { controlNets: 5, loraSets: 1 },
}
/** Below nine steps the daemon has LoRAs in from the first step on. */
const DEFAULTS = {
  demo: { steps: 10, size: 128, rounds: 4, requests: 200 },
  sd15: { steps: 10, size: 128, rounds: 1, requests: 20 },
}
/** How busy the strategy with the least room keeps its base devices where no rate is given. */
const LOAD = 0.6
/** LoRAs of the calibration have other numbers than those of the trace. */
const CALIBRATION_LORAS = 1_000_000
const ONE_DEVICE_ADDONS = 100_000
const SCALING = [1, 2, 4, 8, 16, 32, 64]

/** A round of the jobs that stage times are taken from takes seconds with the demo model, and minutes at SD1.5's size. */
const CALIBRATED = { demo: 'replays', sd15: 'segments' } as const

/** Requests that are replayed by each strategy in turn. */
const SEGMENT = 25
/** Halves need two devices. */
const STRATEGIES = { 1: STRATEGY_NAMES.filter((name) => name !== 'halves'), 2: STRATEGY_NAMES } as const
/** One device serves this share of the requests: they come about half as often. */
const SHARES = { 1: 0.5, 2: 1 } as const

/** A workload like production's, served by each strategy on one and two devices and predicted for up to 64. */
export const trace: Scenario = {
  about: 'a synthetic workload with the statistics of a production trace, beside what the simulator predicts',
  async run({ cacheDirectory, say, options }) {
    const kind = options.sd15 ? 'sd15' : 'demo'
    const { steps, size, rounds, requests, ...rest } = { ...DEFAULTS[kind], ...options }
    const slots = SLOTS[kind]
    const model = await prepareServingModel({ cacheDirectory, sd15: options.sd15, size, steps })
    const daemons = createServingDaemons({ model, bases: 'all', slots })
    try {
      say(`five strategies' daemons are warmed up, then the rate is found; ${size}x${size}, ${steps} steps`)
      for (const name of STRATEGY_NAMES) await daemons.driver(name)
      const calibrator = createCalibrator(daemons, model, CALIBRATION_LORAS)
      // The first time of each kind of job is none like the others.
      await calibrator.round()
      const rates =
        rest.rate === undefined
          ? await ratesFor(calibrator, { rounds, requests, steps, slots })
          : { 1: rest.rate / 2, 2: rest.rate }
      const figures: Record<string, Figure> = {}
      const measured = { daemons, model, calibrator, slots, calibration: CALIBRATED[kind] }
      const calibration: CalibrationJobs[] = []
      for (const devices of [2, 1] as const) {
        const draft = { service: SERVICE, seed: SEED, requests: Math.ceil(SHARES[devices] * requests) }
        const workload = generateTrace({ ...draft, requestsPerMinute: rates[devices] })
        const { figures: ofDevices, calibration: jobs } = await measureTrace(workload, { ...measured, devices }, say)
        calibration.push(...jobs)
        figures[`requests per minute, devices: ${devices}`] = figure([rates[devices]], '')
        Object.assign(figures, ofDevices)
      }
      const all = calibrate(mergeRounds(calibration))
      const scaled = { calibration: all, steps, rate: rates[2] / 2, slots }
      return { ...figures, ...calibrationFigures(all), ...drawScaling(options.out ?? cacheDirectory, scaled, say) }
    } finally {
      await daemons.dispose()
    }
  },
}

/** Requests per minute that one and two devices can well serve. */
async function ratesFor(
  calibrator: Calibrator,
  { rounds, requests, steps, slots }: Record<'rounds' | 'requests' | 'steps', number> & { readonly slots: CacheSlots },
): Promise<Record<DeviceCount, number>> {
  const measured: CalibrationJobs[] = []
  for (let round = 0; round < rounds; round++) measured.push(await calibrator.round())
  const calibration = calibrate(mergeRounds(measured))
  const draft = generateTrace({ service: SERVICE, seed: SEED, requests, requestsPerMinute: 1 })
  const rate = (devices: DeviceCount): number =>
    rateForLoad(LOAD, { devices, calibration, slots }, simulatedJobs(draft, steps))
  return { 1: rate(1), 2: rate(2) }
}

type Measured = Pick<ReplaySegmentsOptions, 'daemons' | 'model' | 'calibrator' | 'devices' | 'calibration'> & {
  readonly slots: CacheSlots
}

async function measureTrace(
  workload: readonly TraceRequest[],
  options: Measured,
  say: (sentence: string) => void,
): Promise<{ figures: Record<string, Figure>; calibration: readonly CalibrationJobs[] }> {
  const { devices, model, slots } = options
  const segments = cutIntoSegments(workload, SEGMENT)
  const onSegment = (index: number): void =>
    say(`segment ${index + 1} of ${segments.length}, ${segments[index].length} requests by each, devices: ${devices}`)
  const { strategies, calibration: rounds } = await replaySegments(
    segments.map((segment) => segment.map((each) => renamed(each, devices))),
    { ...options, strategies: STRATEGIES[devices], onSegment },
  )
  const figures: Record<string, Figure> = {}
  for (const [name, { jobs, prepared, calibration: bySegment }] of strategies) {
    const calibration = calibrate(mergeRounds(bySegment))
    const times = bySegment.map((each, index) => drawnTimes(calibrate(each).samples, createRandom(index + 1)))
    const simulated = simulatedSegments(segments, model.request.numInferenceSteps, times)
    const predicted = predictServed(name, { devices, calibration, slots }, simulated)
    const report = reportOf(jobs, prepared, calibration)
    Object.assign(figures, servingFigures(`${name}, devices: ${devices}`, { ...report, predicted }))
  }
  return { figures, calibration: rounds }
}

/** One device's add-ons have other names than those of two, whose daemons' caches it finds. */
function renamed(request: TraceRequest, devices: DeviceCount): TraceRequest {
  const rename = (number: number): number => number + (devices === 1 ? ONE_DEVICE_ADDONS : 0)
  return { ...request, controlNets: request.controlNets.map(rename), loras: request.loras.map(rename) }
}

function reportOf(
  results: readonly ReplayedJob[],
  prepared: ReadonlyMap<string, readonly Prepared[]>,
  { samples }: Calibration,
): Omit<ServingReport, 'predicted'> {
  const around = aroundSteps(meanTimes(samples))
  const jobs = results.map(({ job }) => job)
  return {
    measured: summarizeJobs(results.map(({ job, ...each }) => ({ ...each, loadingMs: lostMs(job, around) }))),
    hits: countHits(jobs, prepared),
    loraSteps: jobs.flatMap(({ loraStep }) => loraStep ?? []),
  }
}

function drawScaling(
  directory: string,
  predicted: Pick<ScalingOptions, 'calibration' | 'steps' | 'rate' | 'slots'>,
  say: (sentence: string) => void,
): Record<string, Figure> {
  const latencies = predictScaling({ ...predicted, devices: SCALING, service: SERVICE, seed: SEED })
  mkdirSync(directory, { recursive: true })
  const path = join(directory, 'trace.svg')
  writeFileSync(path, plotSvg([devicesPlot('predicted, the same load for each device', SCALING, latencies)]))
  say(`what the simulator predicts for 1 to 64 devices is drawn in ${path}`)
  const entries = STRATEGY_NAMES.flatMap((name) =>
    SCALING.map((count, index) => {
      const label = `${name}: predicted mean latency, devices: ${count}`
      return [label, figure([latencies[name][index]], 'ms')] as const
    }),
  )
  return Object.fromEntries(entries)
}
