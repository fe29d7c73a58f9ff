import { scaledResiduals } from '../../../engine/networks/control-pass.js'
import type { ScaledResiduals } from '../../../engine/networks/residual-sum.js'
import { residualScales } from '../../../engine/pipeline/control-strength.js'
import type { DeviceTiming } from '../../../engine/pipeline/stages.js'
import type { WorkerState } from '../worker-state.js'
import { openControlSession } from './control-session.js'
import {
  ControlDoneSchema,
  sliceConditioning,
  sliceRows,
  type ControlDone,
  type ControlRun,
  type PassOpen,
} from './messages.js'
import { connectPeer } from './peer-client.js'
import type { Session } from './session.js'

/** A ControlNet that takes part in the passes of some rows, as the worker sees it that computes those rows. */
export interface ControlWork {
  /** Its number among the job's. */
  readonly control: number
  /** Whether this worker computes it. */
  readonly local: boolean
  /** Where its residuals appear. */
  readonly residuals: ScaledResiduals
  run(run: ControlRun): Promise<DeviceTiming>
  close(): Promise<void>
}

type ControlDescription = PassOpen['controls'][number]

/** Opens a ControlNet's work for a pass: here, or on the worker that the description names. */
export async function openControlWork(
  state: WorkerState,
  { control, peer, residuals, begin, strength, path, base, picture, pictureKey }: ControlDescription,
  { sample, conditionings }: Pick<PassOpen, 'sample' | 'conditionings'>,
  signal: AbortSignal,
): Promise<ControlWork> {
  const rows = sample.dims[0]
  const described = {
    ...{ path, base, picture, pictureKey },
    sample: sliceRows(sample, begin, rows),
    conditionings: conditionings.map((each) => sliceConditioning(each, begin, rows)),
    residuals: residuals.map((each) => sliceRows(each, begin, rows)),
  }
  const session: Session<ControlRun, ControlDone> = peer
    ? await connectPeer(state, peer, { kind: 'control', ...described }, ControlDoneSchema, signal)
    : await openControlSession(state, described, signal)
  const device = peer?.device ?? state.device
  const sharedBytes = described.residuals.reduce((sum, { byteLength }) => sum + byteLength, 0)
  return {
    control,
    local: !peer,
    residuals: scaledResiduals(residuals.map(state.tensor), residualScales(strength, residuals.length)),
    async run(run) {
      const began = performance.now()
      const { runtimeMs } = await session.run(run)
      const timing = { device, role: 'controlnet', controlNetMs: runtimeMs } as const
      if (!peer) return timing
      return { ...timing, messageMs: Math.max(0, performance.now() - began - runtimeMs), sharedBytes }
    },
    close: () => session.close(),
  }
}
