import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { figure, type Figure, type Scenario } from '../harness.js'
import { plotSvg } from '../plot.js'
import { aroundSteps, calibrate, lostMs, type Calibration, type CalibrationJobs } from '../serving/calibrate.js'
import { createCalibrator, mergeRounds, type Calibrator } from '../serving/calibration-jobs.js'
import { createServingDaemons, type ServingDaemons } from '../serving/daemons.js'
import { calibrationFigures, devicesPlot, servingFigures } from '../serving/figures.js'
import { countHits } from '../serving/prepared.js'
import { replay } from '../serving/replay.js'
import { servingRequest } from '../serving/serving-job.js'
import { prepareServingModel, type ServingModel } from '../serving/serving-model.js'
import { servingStrategy, type CacheSlots, type DeviceCount } from '../serving/serving-strategies.js'
import { meanTimes } from '../serving/stage-samples.js'
import { predictScaling, predictServed, rateForLoad, simulatedJobs } from '../serving/trace-prediction.js'
import { STRATEGY_NAMES, STRATEGY_TITLES, type StrategyName } from '../simulator/strategies.js'
import { summarizeJobs } from '../simulator/summary.js'
import { generateTrace, type TraceRequest } from '../trace/generate-trace.js'
import { services } from '../trace/services.js'

const SERVICE = services.A
const SEED = 1
/** Of the caches of the published trace, those of 5 ControlNets and of 10 LoRAs; here sets of LoRAs are kept. */
const SLOTS: CacheSlots = { controlNets: 5, loraSets: 10 }
/** Below nine steps the daemon has LoRAs in from the first step on. */
const DEFAULTS = {
  demo: { steps: 10, size: 128, rounds: 4, requests: 200 },
  sd15: { steps: 10, size: 128, rounds: 1, requests: 20 },
}
/** One device serves this share of the requests: they come half as often. */
const ONE_DEVICE_SHARE = 0.5
/** How busy the strategy with the least room keeps its base devices where no rate is given. */
const LOAD = 0.6
/** LoRAs of the calibration have other numbers than those of the trace. */
const CALIBRATION_LORAS = 1_000_000
const SCALING = [1, 2, 4, 8, 16, 32, 64]

/** A workload like production's, served by each strategy on one and two devices and predicted for up to 64. */
export const trace: Scenario = {
  about: 'a synthetic workload with the statistics of a production trace, beside what the simulator predicts',
  async run({ cacheDirectory, say, options }) {
    const { steps, size, rounds, requests, ...rest } = { ...DEFAULTS[options.sd15 ? 'sd15' : 'demo'], ...options }
    const model = await prepareServingModel({ cacheDirectory, sd15: options.sd15, size, steps })
    const daemons = createServingDaemons({ model, bases: 'all', slots: SLOTS })
    try {
      say(`${rounds} times the jobs that the simulator's times are taken from, ${size}x${size}, ${steps} steps`)
      for (const name of STRATEGY_NAMES) await daemons.driver(name)
      const calibrator = createCalibrator(daemons, model, CALIBRATION_LORAS)
      // The first time of each kind of job is none like the others.
      await calibrator.round()
      const first: CalibrationJobs[] = []
      for (let round = 0; round < rounds; round++) first.push(await calibrator.round())
      const measured: Measured = { daemons, model, calibrator, rounds: first }
      const figures: Record<string, Figure> = {}
      const rates = { 1: 0, 2: rest.rate ?? ratesOf(calibrate(mergeRounds(first)), 2, requests, steps) }
      rates[1] = rest.rate === undefined ? ratesOf(calibrate(mergeRounds(first)), 1, requests, steps) : rest.rate / 2
      for (const devices of [2, 1] as const) {
        const count = Math.ceil(devices === 2 ? requests : ONE_DEVICE_SHARE * requests)
        const draft = { service: SERVICE, seed: SEED, requests: count, requestsPerMinute: rates[devices] }
        figures[`requests per minute, devices: ${devices}`] = figure([rates[devices]], '')
        for (const name of devices === 2 ? STRATEGY_NAMES : ON_ONE_DEVICE) {
          say(`${count} requests, ${rates[devices].toPrecision(3)} per minute, devices: ${devices}, ${STRATEGY_TITLES[name]}`)
          Object.assign(figures, await measureStrategy(name, devices, generateTrace(draft), measured))
        }
      }
      const calibration = calibrate(mergeRounds(measured.rounds))
      const scaling = drawScaling(options.out ?? cacheDirectory, { calibration, steps, rate: rates[2] / 2 }, say)
      return { ...figures, ...calibrationFigures(calibration), ...scaling }
    } finally {
      await daemons.dispose()
    }
  },
}

/** Halves need two devices. */
const ON_ONE_DEVICE = STRATEGY_NAMES.filter((name) => name !== 'halves')

interface Measured {
  readonly daemons: ServingDaemons
  readonly model: ServingModel
  readonly calibrator: Calibrator
  /** One more after each strategy: the machine's speed may drift. */
  readonly rounds: CalibrationJobs[]
}

function ratesOf(calibration: Calibration, devices: DeviceCount, requests: number, steps: number): number {
  const draft = { service: SERVICE, seed: SEED, requests, requestsPerMinute: 1 }
  return rateForLoad(LOAD, { devices, calibration, slots: SLOTS }, simulatedJobs(generateTrace(draft), steps))
}

/** Calibration rounds before and after a strategy's requests that tell of the machine's speed meanwhile. */
const ROUNDS_AROUND = 3

async function measureStrategy(
  name: StrategyName,
  devices: DeviceCount,
  workload: readonly TraceRequest[],
  { daemons, model, calibrator, rounds }: Measured,
): Promise<Record<string, Figure>> {
  const strategy = servingStrategy(name, devices)
  const driver = await daemons.driver(name)
  const results = await replay(workload, strategy.bases, (request, base) =>
    driver.run(servingRequest(model, daemons.files, strategy, request, base)),
  )
  rounds.push(await calibrator.round(), await calibrator.round())
  const calibration = calibrate(mergeRounds(rounds.slice(-2 - ROUNDS_AROUND)))
  const around = aroundSteps(meanTimes(calibration.samples))
  const served = results.map(({ job, ...each }) => ({ ...each, loadingMs: lostMs(job, around) }))
  const jobs = results.map(({ job }) => job)
  const simulated = simulatedJobs(workload, model.request.numInferenceSteps)
  return servingFigures(`${name}, devices: ${devices}`, {
    measured: summarizeJobs(served),
    hits: countHits(jobs, driver.prepared()),
    loraSteps: jobs.flatMap(({ loraStep }) => loraStep ?? []),
    predicted: predictServed(name, { devices, calibration, slots: SLOTS }, simulated),
  })
}

function drawScaling(
  directory: string,
  { calibration, steps, rate }: { readonly calibration: Calibration; readonly steps: number; readonly rate: number },
  say: (sentence: string) => void,
): Record<string, Figure> {
  const options = { calibration, steps, rate, devices: SCALING, service: SERVICE, seed: SEED, slots: SLOTS }
  const latencies = predictScaling(options)
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
