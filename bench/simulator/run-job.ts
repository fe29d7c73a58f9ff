import { loadControl, type ControlDevice, type ControlService, type PlacedControl } from './control-devices.js'
import type { Device } from './device.js'
import { loadLoras, type LoraStore } from './lora-loading.js'
import type { JobResult, SimulatedJob, StageTimes, Strategy } from './model.js'
import { allOf, type Clock, type Process, type Signal } from './process.js'

/** A device that holds the base model and computes all of a step or one half of the guidance. */
export interface BaseHalf {
  readonly device: Device
  readonly times: StageTimes
  /** What it computes of a step. */
  readonly share: number
  /** For ControlNets that run on the same device. */
  readonly controls: ControlDevice
}

/** What works on one job at a time: one device, or two with one half of the guidance each. */
export interface BaseUnit {
  readonly halves: readonly [BaseHalf, ...BaseHalf[]]
  readonly loras: LoraStore
}

export interface RunJobOptions {
  readonly clock: Clock
  readonly strategy: Strategy
  readonly job: SimulatedJob
  readonly unit: BaseUnit
  /** Undefined if ControlNets run co-located. */
  readonly service: ControlService | undefined
  readonly done: (result: JobResult) => void
}

/** The ControlNets of a job, for each half. */
interface JobControls {
  readonly byHalf: readonly (readonly PlacedControl[])[]
  readonly loaded: Signal
  release(): void
}

/** One job from the moment on at which a base unit takes it. */
export function* runJob({ clock, strategy, job, unit, service, done }: RunJobOptions): Process {
  const { halves } = unit
  const [first] = halves
  const devices = halves.map(({ device }) => device)
  const startedMs = clock.now
  const options = { clock, store: unit.loras, loras: job.loras, loading: strategy.loras, times: first.times, devices }
  const loras = loadLoras({ ...options, steps: job.steps })
  if (strategy.loras.mode === 'serial') yield* loras.beforeStep(0)
  const controls = placeControls(job, halves, service)
  const waits = { loadingMs: 0, residualMs: 0 }
  if (!service) {
    const since = clock.now
    yield controls.loaded
    waits.loadingMs += clock.now - since
  }
  yield first.device.compute(first.times.promptMs)
  for (let step = 0; step < job.steps; step++) {
    yield* loras.beforeStep(step)
    yield* runStep(clock, halves, controls, service !== undefined, waits)
  }
  yield first.device.compute(first.times.vaeMs)
  controls.release()
  loras.release()
  done({
    arrivalMs: job.arrivalMs,
    startedMs,
    finishedMs: clock.now,
    loadingMs: waits.loadingMs + loras.loadingMs,
    patchingMs: loras.patchingMs,
    residualWaitMs: waits.residualMs,
    ...(loras.step !== undefined && { loraStep: loras.step }),
  })
}

function placeControls(
  { controlNets }: SimulatedJob,
  halves: readonly BaseHalf[],
  service: ControlService | undefined,
): JobControls {
  const byHalf = halves.map(({ controls }) =>
    controlNets.map((each) => (service ? service.place(each) : loadControl(controls, each))),
  )
  return {
    byHalf,
    loaded: allOf(byHalf.flat().map(({ loaded }) => loaded)),
    release() {
      for (const placed of byHalf) {
        placed.forEach((control, index) => {
          if (service) service.release(controlNets[index], control)
          else control.host.cache.release(String(controlNets[index]))
        })
      }
    },
  }
}

/** Encoder and ControlNets at once, the decoder when both are there; both halves at once. */
function* runStep(
  clock: Clock,
  halves: BaseUnit['halves'],
  controls: JobControls,
  asService: boolean,
  waits: { loadingMs: number; residualMs: number },
): Process {
  const started = halves.map((half, index) => {
    const placed = controls.byHalf[index]
    if (!asService) return clock.start(coLocatedHalf(half, placed.length))
    const residuals = allOf(placed.map(({ host }) => clock.start(residualOf(clock, host, half.share))))
    const loaded = allOf(placed.map((each) => each.loaded))
    // The job's waiting time is that of its first half: the second one waits at the same time.
    return clock.start(servedHalf(clock, half, { loaded, residuals }, index === 0 ? waits : undefined))
  })
  yield allOf(started)
  if (halves.length > 1) yield clock.sleep(halves[0].times.exchangeMs)
}

function* coLocatedHalf({ device, times, share }: BaseHalf, controlNets: number): Process {
  yield device.compute(share * (controlNets * times.controlNetMs + times.encoderMs + times.decoderMs))
}

function* residualOf(clock: Clock, { device, times }: ControlDevice, share: number): Process {
  yield device.compute(share * times.controlNetMs)
  yield clock.sleep(times.transferMs)
}

function* servedHalf(
  clock: Clock,
  { device, times, share }: BaseHalf,
  { loaded, residuals }: { loaded: Signal; residuals: Signal },
  waits: { loadingMs: number; residualMs: number } | undefined,
): Process {
  yield device.compute(share * times.encoderMs)
  const encodedAt = clock.now
  yield loaded
  const loadedAt = clock.now
  yield residuals
  if (waits) {
    waits.loadingMs += loadedAt - encodedAt
    waits.residualMs += clock.now - loadedAt
  }
  yield device.compute(share * times.decoderMs)
}
