import { borrowTensor } from '../../../engine/pipeline/local-tensor.js'
import type { Conditioning, DeviceTiming, PassTiming, Tensor, UnetStages } from '../../../engine/pipeline/stages.js'
import type { DenoisePlanMessage } from '../messages.js'
import type { TensorHandle } from '../tensor-handle.js'
import type { WorkerState } from '../worker-state.js'
import {
  PassDoneSchema,
  sliceConditioning,
  sliceRows,
  type ModelReference,
  type Part,
  type PassDone,
  type PassOpen,
  type PassRun,
} from './messages.js'
import { connectPeer } from './peer-client.js'
import { openPassSession, type PassSession } from './pass-session.js'
import { PassOpenedSchema } from './peer-messages.js'

/** What the denoising loop asks of its networks. */
export interface PlacedStages extends UnetStages {
  /** Stops the parts; settles when no worker touches the job's tensors any more. */
  close(): Promise<void>
}

export interface PlacedStagesOptions {
  readonly model: ModelReference
  readonly plan: DenoisePlanMessage
  /** Those of the plan, as the loop names them. */
  readonly conditionings: readonly Conditioning[]
  /** Who computes which rows. */
  readonly parts: readonly Part[]
  /** The UNet's input and output, (B, C, h, w) each. */
  readonly sample: TensorHandle
  readonly prediction: TensorHandle
  readonly signal: AbortSignal
}

/**
 * The stages of a job whose passes are shared out by rows and by ControlNets: whether the two halves of the guidance are one
 * batch, two batches of this worker or the work of two devices is the placement's matter, not the loop's
 * (SwiftDiffusion's latent parallelism, arXiv 2407.02031).
 */
export async function openPlacedStages(state: WorkerState, options: PlacedStagesOptions): Promise<PlacedStages> {
  const { conditionings, parts, sample, prediction, signal } = options
  const sessions: { readonly part: Part; readonly session: PassSession }[] = []
  const close = async (): Promise<void> => {
    await Promise.all(sessions.map(({ session }) => session.close()))
  }
  try {
    // Side by side: each may have to load what it needs.
    const opening = parts.map(async (part) => {
      const description = describePart(options, part)
      const open = part.peer
        ? openRemotePass(state, part, description, signal)
        : openPassSession(state, description, signal)
      sessions.push({ part, session: await open })
    })
    const failed = (await Promise.allSettled(opening)).find((result) => result.status === 'rejected')
    if (failed) throw failed.reason
    sessions.sort((a, b) => parts.indexOf(a.part) - parts.indexOf(b.part))
  } catch (error) {
    await close()
    throw error
  }

  // The loop allocates its input, then its output.
  const allocated = [sample, prediction].map((handle) => borrowTensor(state.tensor(handle)))
  return {
    close,
    adaptersReady: () => sessions.every(({ session }) => session.adaptersReady()),
    allocate(): Tensor {
      const tensor = allocated.shift()
      if (!tensor) throw new Error('The loop allocates two tensors.')
      return tensor
    },
    async predictNoise(_sample, timestep, conditioning, _out, { adapters, controls = [] } = {}) {
      const run: PassRun = {
        ...{ timestep, conditioning: conditionings.indexOf(conditioning), adapted: adapters !== undefined },
        controls: controls.map(({ control }) => Number(control.key)),
      }
      return runParts(state, sessions, run)
    },
  }
}

async function runParts(
  state: WorkerState,
  sessions: readonly { readonly part: Part; readonly session: PassSession }[],
  run: PassRun,
): Promise<PassTiming> {
  const began = performance.now()
  // The others' first: a short run of this worker keeps its thread, and nothing would be sent meanwhile.
  const started = new Map<Part, Promise<PassDone & { readonly elapsedMs: number }>>()
  for (const remote of [true, false]) {
    for (const { part, session } of sessions) {
      if (Boolean(part.peer) !== remote) continue
      started.set(
        part,
        session.run(run).then((done) => ({ ...done, elapsedMs: performance.now() - began })),
      )
    }
  }
  await Promise.allSettled(started.values())
  const devices: DeviceTiming[] = []
  let runtimeMs = 0
  for (const [index, { part }] of sessions.entries()) {
    const done = await (started.get(part) as Promise<PassDone & { readonly elapsedMs: number }>)
    devices.push(baseTiming(state, part, index, done), ...done.controls)
    if (!part.peer) runtimeMs += done.runtimeMs + ownControlMs(state, done)
  }
  return { runtimeMs, devices }
}

function baseTiming(
  state: WorkerState,
  { peer }: Part,
  index: number,
  { encoderMs, decoderMs, waitMs, runtimeMs, controls, elapsedMs }: PassDone & { readonly elapsedMs: number },
): DeviceTiming {
  const role = index === 0 ? 'base' : 'second'
  const timing = { device: peer?.device ?? state.device, role, encoderMs, decoderMs, waitMs } as const
  if (!peer) return timing
  const own = controls.reduce(
    (sum, { device, controlNetMs = 0 }) => sum + (device === peer.device ? controlNetMs : 0),
    0,
  )
  return { ...timing, messageMs: Math.max(0, elapsedMs - runtimeMs - waitMs - own) }
}

/** Time of the ControlNets that a pass's own device computed. */
function ownControlMs({ device: own }: WorkerState, { controls }: PassDone): number {
  return controls.reduce((sum, { device, controlNetMs = 0 }) => sum + (device === own ? controlNetMs : 0), 0)
}

/** A part's work as the worker that does it sees it: only its own rows. */
function describePart(
  { model, plan, sample, prediction }: PlacedStagesOptions,
  { rows: [begin, end], controls }: Part,
): Omit<PassOpen, 'kind'> {
  return {
    model,
    ...(plan.adapters && { adapters: plan.adapters.uses }),
    sample: sliceRows(sample, begin, end),
    out: sliceRows(prediction, begin, end),
    conditionings: plan.conditionings.map((each) => sliceConditioning(each, begin, end)),
    controls: controls.map((assignment) => {
      const { path, base, picture, pictureKey, scale, guessMode, mode, residualWeights } =
        plan.controls[assignment.control]
      const strength = { scale, guessMode, ...(mode && { mode }), ...(residualWeights && { residualWeights }) }
      return { ...assignment, path, base, picture, pictureKey, strength }
    }),
  }
}

async function openRemotePass(
  state: WorkerState,
  part: Part,
  description: Omit<PassOpen, 'kind'>,
  signal: AbortSignal,
): Promise<PassSession> {
  if (!part.peer) throw new TypeError('A part without a peer is not remote.')
  const open = { kind: 'pass', ...description } as const
  const session = await connectPeer<PassRun, PassDone>(state, part.peer, open, PassDoneSchema, signal)
  let ready = PassOpenedSchema.parse(session.opened).adaptersReady
  return {
    adaptersReady: () => ready,
    close: () => session.close(),
    async run(run) {
      const done = await session.run(run)
      ready = done.adaptersReady
      return done
    },
  }
}
