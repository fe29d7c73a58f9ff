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
  /** Those that are made ready before the prompt is encoded. */
  readonly loaded: Signal
  /** Loads what is missing when denoising begins. */
  open(): Signal
  release(): void
}

/** One job from the moment on at which a base unit takes it. */
export function* runJob({ clock, strategy, job, unit, service, done }: RunJobOptions): Process {
  const { halves } = withTimes(unit, job.times)
  const [first] = halves
  const devices = halves.map(({ device }) => device)
  const startedMs = clock.now
  const options = { clock, store: unit.loras, loras: job.loras, loading: strategy.loras, times: first.times, devices }
  const loras = loadLoras({ ...options, steps: job.steps })
  if (strategy.loras.mode === 'serial') yield* loras.beforeStep(0)
  yield* loras.beforePrompts()
  const controls = placeControls(job, halves, service)
  const waits = { loadingMs: 0, residualMs: 0 }
  if (!service) {
    const since = clock.now
    yield controls.loaded
    waits.loadingMs += clock.now - since
  }
  yield first.device.compute(first.times.promptMs)
  const openedAt = clock.now
  yield controls.open()
  waits.loadingMs += clock.now - openedAt
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

/** A job's own times count for all that it does. */
function withTimes({ halves: [first, ...others] }: BaseUnit, times?: StageTimes): Pick<BaseUnit, 'halves'> {
  const own = (half: BaseHalf): BaseHalf => (times ? { ...half, times } : half)
  return { halves: [own(first), ...others.map(own)] }
}

function placeControls(
  { controlNets, times }: SimulatedJob,
  halves: readonly BaseHalf[],
  service: ControlService | undefined,
): JobControls {
  const place = ({ controls }: BaseHalf): PlacedControl[] =>
    controlNets.map((each) => (service ? service.place(each, times) : loadControl(controls, each, times)))
  const byHalf = service ? halves.map(place) : [place(halves[0])]
  return {
    byHalf,
    loaded: loadedOf(byHalf.flat()),
    open() {
      if (service) return loadedOf([])
      // As the daemon does: nobody asks the second half's device for its own ControlNets before the first step.
      const others = halves.slice(1).map(place)
      byHalf.push(...others)
      return allOf([reload(halves[0], controlNets.length), loadedOf(others.flat())])
    },
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

function loadedOf(placed: readonly PlacedControl[]): Signal {
  return allOf(placed.map(({ loaded }) => loaded))
}

/**
 * A daemon that keeps nothing lets all but one of a job's ControlNets go between making them ready and using them, as
 * nobody uses them in between, and loads them again.
 */
function reload({ device, times, controls }: BaseHalf, controlNets: number): Signal {
  const again = controls.keepsNothing ? Math.max(0, controlNets - 1) : 0
  return allOf(Array.from({ length: again }, () => device.load(times.controlNetLoadMs)))
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
    const residuals = allOf(placed.map((each) => clock.start(residualOf(clock, each, half.share))))
    const loaded = allOf(placed.map((each) => each.loaded))
    // The job's waiting time is that of its first half: the second one waits at the same time.
    return clock.start(servedHalf(clock, half, { loaded, residuals }, index === 0 ? waits : undefined))
  })
  yield allOf(started)
  const [{ device, times }] = halves
  if (halves.length > 1) yield clock.sleep(times.exchangeMs)
  yield device.compute(times.betweenStepsMs)
}

function* coLocatedHalf({ device, times, share }: BaseHalf, controlNets: number): Process {
  for (let index = 0; index < controlNets; index++) yield device.compute(share * times.controlNetMs)
  yield device.compute(share * (times.encoderMs + times.decoderMs))
}

function* residualOf(clock: Clock, { host, times }: PlacedControl, share: number): Process {
  yield host.device.compute(share * times.controlNetMs)
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
