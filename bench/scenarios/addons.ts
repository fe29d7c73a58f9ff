import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { figure, median, ratios, type Figure, type Scenario } from '../harness.js'
import { plotSvg } from '../plot.js'
import { calibrate, type Calibration, type CalibrationJobs } from '../serving/calibrate.js'
import { createCalibrator, mergeRounds } from '../serving/calibration-jobs.js'
import { createServingDaemons, type ServingDaemons } from '../serving/daemons.js'
import { latencyOf, type MeasuredJob } from '../serving/driver.js'
import { latencyBars, predictionError } from '../serving/figures.js'
import { measureInTurn } from '../serving/in-turn.js'
import { predictLatency } from '../serving/predict-job.js'
import { createShapeDraw, servingRequest, SHAPES, type Shape } from '../serving/serving-job.js'
import { prepareServingModel, type ServingModel } from '../serving/serving-model.js'
import { servingStrategy, type CacheSlots } from '../serving/serving-strategies.js'
import { STRATEGY_NAMES, type StrategyName } from '../simulator/strategies.js'

/** Below nine steps the daemon has LoRAs in from the first step on. */
const STEPS = { demo: 20, sd15: 10 }
const ROUNDS = { demo: 7, sd15: 1 }
/** The tax is one ratio, so that there is time for another round. */
const TAX_ROUNDS = { demo: 15, sd15: 2 }
/** Pixels. The figure has 25 cells, so they are smaller. */
const SIZES = { demo: { tax: 128, cells: 128 }, sd15: { tax: 256, cells: 128 } }
/** LoRAs of the tax have the lowest numbers, then come those of the cells, then those of the calibration. */
const FIRST_LORA = { cells: 1000, calibration: 10_000 }

/**
 * What caches keep of what nobody uses. LoRAs are always new, so their overlays would only fill the memory: at SD1.5's size
 * some strategies' daemons together would push the model's files out of it.
 */
const SLOTS: CacheSlots = { controlNets: 2, loraSets: 1 }

/** Of the simulator, for the middle one of a strategy's cells. */
const TOLERANCE = '<= 0.2'

type Cell = `${StrategyName} ${Shape}`

/** What add-ons cost: one ControlNet on its own device and two cold LoRAs, and the paper's figure. */
export const addons: Scenario = {
  about: 'ControlNets and LoRAs against the bare model: each idea alone, all together, none',
  async run({ cacheDirectory, say, options }) {
    const kind = options.sd15 ? 'sd15' : 'demo'
    const model = (size: number): Promise<ServingModel> =>
      prepareServingModel({ cacheDirectory, sd15: options.sd15, size, steps: options.steps ?? STEPS[kind] })
    say(options.sd15 ? 'a random SD1.5 checkpoint, ControlNet and LoRAs (made once: 6 GB)' : 'the demo model')
    const taxed = await model(options.size ?? SIZES[kind].tax)
    const drawn = await model(options.size ?? SIZES[kind].cells)
    const daemons = createServingDaemons({ model: drawn, bases: 'first', slots: SLOTS })
    try {
      const tax = await measureTax(daemons, taxed, options.rounds ?? TAX_ROUNDS[kind], say)
      const cells = await measureCells(daemons, drawn, options.rounds ?? ROUNDS[kind], say)
      const directory = options.out ?? cacheDirectory
      mkdirSync(directory, { recursive: true })
      writeFileSync(join(directory, 'addons.svg'), cells.svg)
      say(`the figure is ${join(directory, 'addons.svg')}`)
      return { ...tax, ...cells.figures }
    } finally {
      await daemons.dispose()
    }
  },
}

async function measureTax(
  daemons: ServingDaemons,
  model: ServingModel,
  rounds: number,
  say: (sentence: string) => void,
): Promise<Record<string, Figure>> {
  const { width, numInferenceSteps } = model.request
  say(`${rounds} times a job with add-ons in turn with a bare one, ${width}x${width}, ${numInferenceSteps} steps`)
  const draw = createShapeDraw()
  const job = async (name: StrategyName, shape: Shape): Promise<MeasuredJob> => {
    const driver = await daemons.driver(name)
    return driver.run(servingRequest(model, daemons.files, servingStrategy(name), draw(shape)))
  }
  // Both daemons are started before the first sample.
  for (const name of ['serial', 'all'] as const) await daemons.driver(name)
  const { bare, loaded } = await measureInTurn(rounds, {
    bare: () => job('serial', '0C0L'),
    loaded: () => job('all', '1C2L'),
  })
  const [loadedMs, bareMs] = [loaded, bare].map((jobs) => jobs.map(latencyOf))
  const longer = (part: keyof JobParts): Figure =>
    figure(
      loaded.map((each, index) => partsOf(each)[part] - partsOf(bare[index])[part]),
      'ms',
    )
  return {
    'one ControlNet and two cold LoRAs, of the bare model': figure(ratios(loadedMs, bareMs), 'ratio', '<= 1.05'),
    'job with one ControlNet and two cold LoRAs': figure(loadedMs, 'ms'),
    'job of the bare model': figure(bareMs, 'ms'),
    '- longer before the steps': longer('beforeMs'),
    '- longer in the steps': longer('stepsMs'),
    '- longer after the steps': longer('afterMs'),
  }
}

interface JobParts {
  readonly beforeMs: number
  readonly stepsMs: number
  readonly afterMs: number
}

/** A job's latency in parts. The first step also waits for what has to be ready for it. */
function partsOf(job: MeasuredJob): JobParts {
  const stepsMs = job.steps.reduce((sum, { elapsedMs }) => sum + elapsedMs, 0)
  const afterMs = job.finishedMs - job.decodingMs
  return { beforeMs: latencyOf(job) - stepsMs - afterMs, stepsMs, afterMs }
}

async function measureCells(
  daemons: ServingDaemons,
  model: ServingModel,
  rounds: number,
  say: (sentence: string) => void,
): Promise<{ figures: Record<string, Figure>; svg: string }> {
  const { width, numInferenceSteps: steps } = model.request
  say(
    `${rounds} times each of ${STRATEGY_NAMES.length * SHAPES.length} cells in turn, ${width}x${width}, ${steps} steps`,
  )
  const draw = createShapeDraw(FIRST_LORA.cells)
  const calibrator = createCalibrator(daemons, model, FIRST_LORA.calibration)
  const job = (name: StrategyName, shape: Shape) => async (): Promise<MeasuredJob> => {
    const driver = await daemons.driver(name)
    return driver.run(servingRequest(model, daemons.files, servingStrategy(name), draw(shape)))
  }
  const cells = STRATEGY_NAMES.flatMap((name) => SHAPES.map((shape) => [cell(name, shape), job(name, shape)] as const))
  const tasks = Object.fromEntries(cells) as Record<Cell, () => Promise<MeasuredJob>>
  for (const name of STRATEGY_NAMES) await daemons.driver(name)
  // The first time of each kind of job is none like the others.
  await measureInTurn(1, tasks)
  await calibrator.round()
  const calibration: CalibrationJobs[] = []
  const rounded: Record<Cell, MeasuredJob[]>[] = []
  for (let round = 0; round < rounds; round++) {
    calibration.push(await calibrator.round())
    rounded.push(await measureInTurn(1, tasks))
  }
  const jobs = Object.fromEntries(cells.map(([name]) => [name, rounded.flatMap((each) => each[name])]))
  return summarizeCells(jobs as Record<Cell, MeasuredJob[]>, calibrate(mergeRounds(calibration)), steps)
}

/** The cells' figures and plot, with what the simulator expects beside them. */
export function summarizeCells(
  jobs: Readonly<Record<Cell, readonly MeasuredJob[]>>,
  calibration: Calibration,
  steps: number,
): { figures: Record<string, Figure>; svg: string } {
  const figures: Record<string, Figure> = {}
  const measured = {} as Record<StrategyName, Record<Shape, number>>
  const predicted = {} as Record<StrategyName, Record<Shape, number>>
  for (const name of STRATEGY_NAMES) {
    const samples = SHAPES.map((shape) => jobs[cell(name, shape)].map(latencyOf))
    SHAPES.forEach((shape, index) => (figures[`${name} ${shape}`] = figure(samples[index], 'ms')))
    measured[name] = byShape(samples.map(median))
    const draw = createShapeDraw()
    predicted[name] = byShape(SHAPES.map((shape) => predictLatency(name, draw(shape), steps, calibration)))
    const errors = SHAPES.map((shape) => predictionError(predicted[name][shape], measured[name][shape]))
    figures[`${name}: prediction error`] = figure(errors, 'share', TOLERANCE)
    figures[`${name}: 1C2L, of bare`] = figure([measured[name]['1C2L'] / measured.serial['0C0L']], 'ratio')
  }
  const plots = latencyBars(SHAPES, [
    { title: 'measured', latencies: measured },
    { title: 'predicted', latencies: predicted },
  ])
  return { figures, svg: plotSvg(plots) }
}

function cell(name: StrategyName, shape: Shape): Cell {
  return `${name} ${shape}`
}

function byShape(values: readonly number[]): Record<Shape, number> {
  return Object.fromEntries(SHAPES.map((shape, index) => [shape, values[index]])) as Record<Shape, number>
}
