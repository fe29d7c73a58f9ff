import { setTimeout as sleep } from 'node:timers/promises'
import { isSwiftdError } from '../../engine/errors.js'
import { trunkShapes } from '../../engine/graph/trunk-shapes.js'
import type { DenoiseOptions, DenoisePlan } from '../../engine/pipeline/denoise.js'
import { createScheduler } from '../../engine/sampling/schedulers/index.js'
import type { Checkpoint } from '../../engine/weights/checkpoint.js'
import { isWorkerLost, type CrewMember } from './crew.js'
import { rowsOfValues, writePlan } from './denoise-message.js'
import type { JobCrew } from './job-crew.js'
import type { DenoisePlanMessage, DenoiseProgress, Parameters } from './messages.js'
import { allocateParts, assignParts, splitRows } from './parts.js'
import type { ModelReference, Part } from './passes/messages.js'
import { PeerLost } from './passes/peer-lost.js'
import type { Recovery } from './recovery.js'
import type { ArenaTensor } from './tensor-arena.js'
import type { WorkerProcess } from './worker-process.js'

/** LoRAs took effect: from this model call of the job on. */
export interface AdaptersApplied {
  readonly call: number
}

export interface RemoteDenoiseOptions {
  readonly model: ModelReference
  readonly checkpoint: Checkpoint
  readonly crew: JobCrew
  readonly recovery: Recovery
  readonly allocate: (dims: readonly number[]) => ArenaTensor
  readonly signal: AbortSignal
  readonly deadlineMs: number
  readonly onAdapters?: (applied: AdaptersApplied) => void
  readonly onRuntime: (elapsedMs: number) => void
}

/** The workers that a denoising loop is about to run with. */
interface Crew {
  readonly lead: WorkerProcess
  readonly second?: WorkerProcess
  readonly controlNets: readonly WorkerProcess[]
  readonly secondControlNets: readonly (WorkerProcess | undefined)[]
}

/**
 * Runs denoising loops on the base device's worker, which asks the others by itself. Each step's prediction and latents lie
 * in the arena, so after a death the loop goes on from its last finished step, to the same bits.
 */
export function createRemoteDenoise(options: RemoteDenoiseOptions) {
  const { model, checkpoint, recovery, signal, deadlineMs } = options
  const { base, coLocate } = options.crew
  const controlNets = [...options.crew.controlNets]
  const secondControlNets = [...options.crew.secondControlNets]
  let { second } = options.crew

  /** All workers, prepared. Without the second device's the loop goes on with the base device alone. */
  async function readyCrew(finished: number): Promise<Crew> {
    const lead = await base.ready()
    const controls = await Promise.all(controlNets.map((member, index) => readyControlNet(controlNets, member, index)))
    const services = await Promise.all(
      (second ? secondControlNets : []).map(async (member, index) => {
        return member && (await readyControlNet(secondControlNets, member, index))
      }),
    )
    const other = await second?.ready().catch((error: unknown) => leaveSecond(error, finished))
    const crew = { lead, controlNets: controls, secondControlNets: services }
    return other ? { ...crew, second: other } : crew
  }

  /** A ControlNet's worker; that of the base where its own device has failed for good. */
  async function readyControlNet(
    members: (CrewMember | undefined)[],
    { device, ready }: CrewMember,
    index: number,
  ): Promise<WorkerProcess> {
    const { name } = device.device
    try {
      return await ready()
    } catch (error) {
      if (!isWorkerLost(error)) throw error
      if (device.status.state !== 'failed' || device === base.device) throw new PeerLost(name, error.message)
      recovery.note(`${base.device.device.name} computes a ControlNet of ${name}: ${error.message}`)
      const coLocated = coLocate(index)
      members[index] = coLocated
      return coLocated.ready()
    }
  }

  /** A second device only makes a job faster: whatever keeps it from taking part costs the job nothing else. */
  function leaveSecond(error: unknown, finished: number): undefined {
    if (signal.aborted || !second || !isSwiftdError(error) || !SECOND_IS_OPTIONAL.has(error.code)) throw error
    const from = finished === 0 ? '' : ` from step ${finished + 1} on`
    recovery.note(`${base.device.device.name} computes alone${from}: ${error.message}`)
    second = undefined
    return undefined
  }

  async function recover(error: unknown, crew: Crew | undefined, finished: number): Promise<void> {
    if (!isWorkerLost(error) || signal.aborted) throw error
    if (!(error instanceof PeerLost)) return recovery.lost(base.device.device.name, error)
    const others = crew ? [crew.second, ...crew.controlNets, ...crew.secondControlNets] : []
    const worker = others.find((each) => each?.peer.device === error.device)
    await endWorker(worker)
    if (second && second.device.device.name === error.device) leaveSecond(error, finished)
    else recovery.lost(error.device, error)
  }

  return async function remoteDenoise(plan: DenoisePlan, { onStep }: DenoiseOptions): Promise<Float32Array> {
    const calls = createScheduler(plan.scheduler, plan.numInferenceSteps).timesteps.length - plan.start.index
    const memory = allocateLoop(options, plan, calls)
    const [predictionAt, latentsAt] = [memory.predictions, memory.latents].map(({ data }) => rowsOfValues(data, calls))
    let finished = 0
    let appliedAt: number | undefined
    const onProgress = ({ index, sigma, ...step }: DenoiseProgress): void => {
      finished = index + 1
      options.onRuntime(step.runtimeMs)
      if (step.adapted && appliedAt === undefined) options.onAdapters?.({ call: (appliedAt = index) })
      const tensors = { latents: latentsAt(index), modelOutput: predictionAt(index) }
      void onStep?.({ index, sigma: sigma ?? NaN, ...step, ...tensors })
    }
    for (;;) {
      let crew: Crew | undefined
      try {
        crew = await readyCrew(finished)
        const request: Parameters<'denoise'> = {
          ...{ model, finished, ...memory.handles },
          plan: pinAdapters(memory.plan, appliedAt),
          parts: assign(memory.parts, crew),
        }
        await crew.lead.request('denoise', request, { signal, deadlineMs, onProgress })
        return latentsAt(calls - 1).slice()
      } catch (error) {
        await recover(error, crew, finished)
      }
    }
  }

  function assign(parts: readonly Part[], crew: Crew): Part[] {
    const lead = crew.lead.peer
    const ofBase = crew.controlNets.map(({ peer }) => (peer.device === lead.device ? undefined : peer))
    return assignParts(parts, {
      lead,
      bases: [undefined, crew.second?.peer],
      controlNets: [ofBase, crew.second ? crew.secondControlNets.map((worker) => worker?.peer) : ofBase],
    })
  }

  /** Tensors of a loop, and its plan as a message. The rows are split for two devices even if one of them is lost later. */
  function allocateLoop({ allocate }: RemoteDenoiseOptions, plan: DenoisePlan, calls: number) {
    const share = (values: Float32Array, dims: readonly number[]) => {
      const shared = allocate(dims)
      shared.data.set(values)
      return shared.handle
    }
    const [count, channels, height, width] = plan.dims
    const batch = plan.conditionings[0].encoderHiddenStates.dims[0]
    const { in_channels: inputs } = checkpoint.unet.config
    const predictions = allocate([calls, ...plan.dims])
    const latents = allocate([calls, ...plan.dims])
    const parts = allocateParts({
      rows: second ? splitRows(batch) : [[0, batch]],
      dims: [batch, channels, height, width],
      shapes: trunkShapes(checkpoint.unet.config),
      positiveRow: batch === 2 * count ? count : 0,
      controls: plan.controls ?? [],
      allocate: (dims) => allocate(dims).handle,
    })
    const handles = {
      sample: allocate([batch, inputs, height, width]).handle,
      prediction: allocate([batch, channels, height, width]).handle,
      predictions: predictions.handle,
      latents: latents.handle,
    }
    return { plan: writePlan(plan, share), parts, handles, predictions, latents }
  }
}

/** What may keep a second device from taking part without failing the job. */
const SECOND_IS_OPTIONAL = new Set<string>(['WORKER_LOST', 'OUT_OF_MEMORY'])

/** Once adapters took effect, a loop that goes on elsewhere has them from the same call on. */
function pinAdapters(plan: DenoisePlanMessage, appliedAt: number | undefined): DenoisePlanMessage {
  if (appliedAt === undefined || !plan.adapters) return plan
  return { ...plan, adapters: { uses: plan.adapters.uses, fromCall: appliedAt } }
}

/** How long the system may take to say that a worker is gone which another one could not reach. */
const GONE_WITHIN_MS = 2000

/** Ends a worker that others cannot reach, if it does not end by itself: one that hangs holds its device. */
async function endWorker(worker: WorkerProcess | undefined): Promise<void> {
  if (!worker) return
  const gone = await Promise.race([worker.exited, sleep(GONE_WITHIN_MS, undefined, { ref: false })])
  if (gone === undefined) await worker.stop(0)
}
