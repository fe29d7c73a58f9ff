import type { DeviceTiming } from '../../../engine/pipeline/stages.js'
import type { WorkerState } from '../worker-state.js'
import { openAdapterWork } from './adapter-work.js'
import { openControlWork, type ControlWork } from './control-work.js'
import { passInputs } from './inputs.js'
import type { ControlRun, PassDone, PassOpen, PassRun } from './messages.js'
import type { Session } from './session.js'

/** The UNet's work on some rows, here or elsewhere. */
export interface PassSession extends Session<PassRun, PassDone> {
  /** Whether the adapters could be in effect now without waiting. */
  adaptersReady(): boolean
}

/** Opens the UNet's work on some rows on this worker; its ControlNets may be the business of others. */
export async function openPassSession(
  state: WorkerState,
  description: Omit<PassOpen, 'kind'>,
  signal: AbortSignal,
): Promise<PassSession> {
  const held = await state.model(description.model)
  const model = held.value
  const loras = description.adapters && (await openAdapterWork(state, model, description.adapters))
  const works: ControlWork[] = []
  let last: Promise<unknown> = Promise.resolve()
  const close = async (): Promise<void> => {
    await last
    await Promise.all(works.map((work) => work.close()))
    await loras?.close()
    held.end()
  }
  try {
    for (const control of description.controls) works.push(await openControlWork(state, control, description, signal))
  } catch (error) {
    await close()
    throw error
  }
  const inputs = description.conditionings.map((each) => passInputs(state, description.sample, each))
  const out = state.tensor(description.out)
  const adaptersReady = (): boolean => loras?.ready() ?? true

  async function run({ timestep, conditioning, adapted, controls }: PassRun): Promise<PassDone> {
    const adapters = adapted ? await loras?.whole() : undefined
    const active = works.filter(({ control }) => controls.includes(control))
    const timings = startControls(active, { timestep, conditioning })
    try {
      const residuals = active.map((work, index) => ({ ...work.residuals, ready: timings[index] }))
      const options = { signal, residuals, ...(adapters && { adapters }) }
      const unet = await model.predictNoise({ timestep, ...inputs[conditioning] }, out, options)
      return { ...unet, controls: await Promise.all(timings), adaptersReady: adaptersReady() }
    } finally {
      // Until then they write residuals.
      await Promise.allSettled(timings)
    }
  }
  return {
    adaptersReady,
    run(step) {
      const pass = run(step)
      last = pass.catch(() => undefined)
      return pass
    },
    close,
  }
}

/** Starts those of other workers first; then this device computes its own, all before the UNet's encoder. */
function startControls(works: readonly ControlWork[], run: ControlRun): Promise<DeviceTiming>[] {
  const started = new Map<ControlWork, Promise<DeviceTiming>>()
  for (const local of [false, true]) {
    for (const work of works) {
      if (work.local !== local) continue
      const timing = work.run(run)
      // The UNet waits for them one after the other; a failure before its turn is no unhandled one.
      timing.catch(() => undefined)
      started.set(work, timing)
    }
  }
  return works.map((work) => started.get(work) as Promise<DeviceTiming>)
}
