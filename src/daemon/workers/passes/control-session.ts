import type { WorkerState } from '../worker-state.js'
import { passInputs } from './inputs.js'
import type { ControlDone, ControlOpen, ControlRun } from './messages.js'
import type { Session } from './session.js'

/**
 * Opens a ControlNet's work on some rows: the ControlNet becomes resident, its picture is embedded once, and every step
 * writes the residuals into the job's tensors.
 */
export async function openControlSession(
  state: WorkerState,
  { path, base, picture, pictureKey, sample, conditionings, residuals }: Omit<ControlOpen, 'kind'>,
  signal: AbortSignal,
): Promise<Session<ControlRun, ControlDone>> {
  const resident = await state.controlNet(path, base)
  const embedded = await resident.value.conditioningOf(pictureKey, state.tensor(picture)).catch((error: unknown) => {
    resident.end()
    throw error
  })
  const inputs = conditionings.map((each) => passInputs(state, sample, each))
  const out = residuals.map((each) => state.tensor(each))
  const { network } = resident.value
  const { conditioning: shown } = embedded.value
  let last: Promise<unknown> = Promise.resolve()
  return {
    run({ timestep, conditioning }) {
      const pass = network.run({ timestep, ...inputs[conditioning] }, shown, out, signal)
      last = pass.catch(() => undefined)
      return pass
    },
    async close() {
      await last
      embedded.end()
      resident.end()
      await state.host.controlNets.trim()
    },
  }
}
