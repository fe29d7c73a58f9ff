/** Jobs of a daemon with devices of one's own choice, and where their steps' time went. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DaemonClient } from '../src/daemon/client/client.js'
import type { DeviceStep, JobEvent } from '../src/daemon/protocol/event.js'
import type { Plan, PlanRequest } from '../src/daemon/protocol/plan.js'
import type { GenerateRequest } from '../src/daemon/protocol/request.js'
import type { Prepared } from '../src/daemon/workers/job-crew.js'
import { preparedFor } from '../test/support/prepared.js'
import { DEMO, runOrThrow, withSandbox } from './demo.js'
import { figure, median, type Figure, type Goal } from './harness.js'

export type StepEvent = Extract<JobEvent, { type: 'step' }>

/** What a job showed. Times are milliseconds. */
export interface MeasuredJob {
  /** Without the first, which also waits for what comes before denoising. */
  readonly steps: readonly StepEvent[]
  /** Median of these steps. */
  readonly stepMs: number
  /** From submission to the end. */
  readonly totalMs: number
  /** What workers made ready for it. */
  readonly prepared: readonly Prepared[]
}

/** Runs a job to its end. @throws Error if it fails */
export type RunJob = (request: GenerateRequest) => Promise<MeasuredJob>

/** Asks the daemon for its plan, which measures the stages that it does not know. */
export type MakePlan = (request: PlanRequest) => Promise<Plan>

/**
 * Starts a daemon with these devices, such as `cpu:0=1`.
 * @param env settings of the daemon
 */
export function withDevices<T>(
  devices: readonly string[],
  task: (run: RunJob, plan: MakePlan) => Promise<T>,
  env: Readonly<Record<string, string>> = {},
): Promise<T> {
  return withSandbox(async (sandbox) => {
    await runOrThrow(sandbox, ['daemon', 'start', ...devices.flatMap((device) => ['--device', device])])
    const client = sandbox.connect()
    const run: RunJob = async (request) => {
      const { id, ...job } = await runJob(client, request)
      return { ...job, prepared: preparedFor(sandbox, { id }) }
    }
    return task(run, (request) => client.plan(request))
  }, env)
}

async function runJob(
  client: DaemonClient,
  request: GenerateRequest,
): Promise<Omit<MeasuredJob, 'prepared'> & { readonly id: string }> {
  const began = performance.now()
  const { id } = await client.submit(request)
  const steps: StepEvent[] = []
  for await (const event of client.events(id)) {
    if (event.type === 'step' && event.step > 1) steps.push(event)
    if (event.type === 'failed') throw new Error(`The job failed: ${event.error.message}`)
  }
  const totalMs = performance.now() - began
  return { id, steps, totalMs, stepMs: steps.length > 0 ? median(steps.map(({ elapsedMs }) => elapsedMs)) : NaN }
}

/**
 * Measures several things in turn (A B C A B C …), so that a drift of the machine's speed meets all.
 * @param warmUp rounds before that do not count
 */
export async function measureInTurn<K extends string, T>(
  rounds: number,
  tasks: Readonly<Record<K, () => Promise<T>>>,
  warmUp = 1,
): Promise<Record<K, T[]>> {
  const names = Object.keys(tasks) as K[]
  const samples = Object.fromEntries(names.map((name) => [name, [] as T[]])) as Record<K, T[]>
  for (let round = -warmUp; round < rounds; round++) {
    for (const name of names) {
      const sample = await tasks[name]()
      if (round >= 0) samples[name].push(sample)
    }
  }
  return samples
}

/** By how much the steps of the first jobs are longer than those of the second ones, pair by pair. */
export function stepRatio(jobs: readonly MeasuredJob[], others: readonly MeasuredJob[], goal?: Goal): Figure {
  const samples = jobs.map(({ stepMs }, index) => stepMs / others[index].stepMs)
  return figure(samples, 'ratio', goal)
}

/** The steps' own figure. */
export function stepTime(jobs: readonly MeasuredJob[]): Figure {
  return figure(
    jobs.map(({ stepMs }) => stepMs),
    'ms',
  )
}

/** What the devices of a role tell of a step, over all steps of all jobs. */
export function deviceFigure(
  jobs: readonly MeasuredJob[],
  role: DeviceStep['role'],
  value: (timing: DeviceStep, step: StepEvent) => number | undefined,
  unit: string,
  goal?: Goal,
): Figure {
  const samples = jobs.flatMap(({ steps }) =>
    steps.flatMap((step) => {
      const timings = (step.devices ?? []).filter((timing) => timing.role === role)
      const values = timings.map((timing) => value(timing, step)).filter((each) => each !== undefined)
      return values.length > 0 ? [Math.max(...values)] : []
    }),
  )
  return figure(samples, unit, goal)
}

/** A picture for ControlNets, in base64. */
export const CONTROL_PICTURE = readFileSync(
  join(import.meta.dirname, '../fixtures/models/examples/canny_0.png'),
).toString('base64')

/** A job of the demo model, of its own size. */
export const DEMO_REQUEST = {
  ...{ model: DEMO.path, prompt: DEMO.prompt, seed: DEMO.seed, guidanceScale: DEMO.guidanceScale },
  ...{ width: DEMO.size, height: DEMO.size, numInferenceSteps: DEMO.steps },
} as const

/** A job of a random SD1.5-size model at 256x256. */
export function sd15Request(model: string, numInferenceSteps: number) {
  const prompt = { prompt: 'a star', seed: 7, guidanceScale: 7.5, scheduler: 'euler' } as const
  return { model, ...prompt, width: 256, height: 256, numInferenceSteps } as const
}
