import type { EmbeddedPicture } from '../../../engine/networks/control-cache.js'
import type { Lease } from '../../../engine/networks/residency.js'
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
  const { controlNets } = state.host
  const reference = state.controlNetReference(path, base)
  const resident = await controlNets.acquire(reference)
  const embed = async (): Promise<Lease<EmbeddedPicture>> => {
    // Usually its memory was taken when it was made ready.
    await controlNets.prepare(reference, { pass: sample.dims, picture: picture.dims })
    return resident.value.conditioningOf(pictureKey, state.tensor(picture))
  }
  const embedded = await embed().catch((error: unknown) => {
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
      await controlNets.trim()
    },
  }
}
