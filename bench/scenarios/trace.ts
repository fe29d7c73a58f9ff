import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { figure, median, type Figure, type Scenario } from '../harness.js'
import { plotSvg } from '../plot.js'
import { calibrate, type CalibrationJobs } from '../serving/calibrate.js'
import { createServingDaemons, type ServingDaemons } from '../serving/daemons.js'
import type { MeasuredJob } from '../serving/driver.js'
import { devicesPlot, lostMs, servingFigures } from '../serving/figures.js'
import { measureInTurn } from '../serving/in-turn.js'
import { replay } from '../serving/replay.js'
import { createShapeDraw, servingRequest, type Shape } from '../serving/serving-job.js'
import { prepareServingModel, type ServingModel } from '../serving/serving-model.js'
import { servingStrategy } from '../serving/serving-strategies.js'
import { predictScaling, predictServed, rateForLoad, simulatedJobs } from '../serving/trace-prediction.js'
import type { StageTimes } from '../simulator/model.js'
import { STRATEGY_NAMES, STRATEGY_TITLES, type StrategyName } from '../simulator/strategies.js'
import { summarizeJobs } from '../simulator/summary.js'
import { generateTrace, type TraceRequest } from '../trace/generate-trace.js'
import { services } from '../trace/services.js'

const SERVICE = services.A
const SEED = 1
/** Below nine steps the daemon has LoRAs in from the first step on. */
const DEFAULTS = {
  quick: { steps: 20, size: 128, rounds: 5, requests: 100 },
  full: { steps: 10, size: 128, rounds: 2, requests: 30 },
}
/** How busy the serial strategy keeps both devices where no rate is given. */
const LOAD = 0.7
/** LoRAs of the calibration have other numbers than those of the trace. */
const CALIBRATION_LORAS = 1_000_000
const SCALING = [1, 2, 4, 8, 16, 32, 64]

/** A workload like production's, served by each strategy on two devices and predicted for up to 64. */
export const trace: Scenario = {
  about: 'a synthetic workload with the statistics of a production trace, beside what the simulator predicts',
  async run({ cacheDirectory, say, options }) {
    const { steps, size, rounds, requests, ...rest } = {
      ...DEFAULTS[options.quick ? 'quick' : 'full'],
      ...options,
    }
    const model = await prepareServingModel({ cacheDirectory, quick: options.quick, size, steps })
    const daemons = createServingDaemons({ model, bases: 'all' })
    try {
      say(`${rounds} times the jobs that the simulator's times are taken from, ${size}x${size}, ${steps} steps`)
      const calibration = await measureCalibration(daemons, model, rounds)
      const times = calibrate(calibration)
      const draft = { service: SERVICE, seed: SEED, requests }
      const jobs = simulatedJobs(generateTrace({ ...draft, requestsPerMinute: 1 }), steps)
      const rate = rest.rate ?? rateForLoad(LOAD, times, jobs)
      const workload = generateTrace({ ...draft, requestsPerMinute: rate })
      const around = median(calibration.bare.map((job) => lostMs(job, 0)))
      const figures: Record<string, Figure> = { 'requests per minute': figure([rate], '') }
      for (const name of STRATEGY_NAMES) {
        say(`${requests} requests at ${rate.toPrecision(3)} per minute, ${STRATEGY_TITLES[name]}`)
        Object.assign(figures, await measureStrategy(name, daemons, { model, workload, times, around }))
      }
      const directory = options.out ?? cacheDirectory
      return { ...figures, ...drawScaling(directory, { times, steps, rate: rate / 2 }, say) }
    } finally {
      await daemons.dispose()
    }
  },
}

async function measureCalibration(
  daemons: ServingDaemons,
  model: ServingModel,
  rounds: number,
): Promise<CalibrationJobs> {
  const draw = createShapeDraw(CALIBRATION_LORAS)
  const driver = await daemons.driver('serial')
  const job = (shape: Shape, guidanceScale: number) => (): Promise<MeasuredJob> =>
    driver.run({ ...servingRequest(model, daemons.files, servingStrategy('serial'), draw(shape)), guidanceScale })
  const guidance = model.request.guidanceScale
  return measureInTurn(rounds, {
    bare: job('0C0L', guidance),
    half: job('0C0L', 1),
    oneControlNet: job('1C0L', guidance),
    oneLora: job('0C1L', guidance),
  })
}

interface Workload {
  readonly model: ServingModel
  readonly workload: readonly TraceRequest[]
  readonly times: StageTimes
  /** What a bare job needs around its steps, in milliseconds. */
  readonly around: number
}

async function measureStrategy(
  name: StrategyName,
  daemons: ServingDaemons,
  { model, workload, times, around }: Workload,
): Promise<Record<string, Figure>> {
  const strategy = servingStrategy(name)
  const driver = await daemons.driver(name)
  const results = await replay(workload, strategy.bases, (request, base) =>
    driver.run(servingRequest(model, daemons.files, strategy, request, base)),
  )
  const served = results.map(({ job, ...each }) => ({ ...each, loadingMs: lostMs(job, around) }))
  const predicted = predictServed(name, times, simulatedJobs(workload, model.request.numInferenceSteps))
  return servingFigures(name, summarizeJobs(served), predicted)
}

function drawScaling(
  directory: string,
  { times, steps, rate }: { readonly times: StageTimes; readonly steps: number; readonly rate: number },
  say: (sentence: string) => void,
): Record<string, Figure> {
  const latencies = predictScaling({ times, steps, rate, devices: SCALING, service: SERVICE, seed: SEED })
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
