import { encodePng } from '../../engine/image/png.js'
import type { Ingredient } from '../../engine/pipeline/check-finite.js'
import { generate, type GenerateInputs } from '../../engine/pipeline/generate.js'
import { imageSeeds, type GenerateRequest } from '../../engine/pipeline/request.js'
import { createScheduler } from '../../engine/sampling/schedulers/index.js'
import { openTokenizer, type ClipTokenizer } from '../../engine/text/tokenizer.js'
import { openCheckpoint, type Checkpoint } from '../../engine/weights/checkpoint.js'
import { inspectControlNet } from '../../engine/weights/controlnet-file.js'
import type { Logger } from '../logger.js'
import type { Placement } from '../placement/placement.js'
import type { ResolvedRequest } from '../protocol/request.js'
import { createRemoteStages, type RemoteStages } from '../workers/remote-stages.js'
import type { TensorArena } from '../workers/tensor-arena.js'
import { planAdapters, stepOfCall, type AdapterPlan } from './adapter-plan.js'
import { controlWindows, jobControls } from './control-plan.js'
import { engineRequest } from './engine-request.js'
import { imageTexts } from './image-metadata.js'
import type { JobRecord } from './job.js'
import { jobWork } from './job-work.js'
import { createPreviews } from './previews.js'
import { chooseScheduler } from './scheduler-choice.js'
import { hashWeights } from './weight-hashes.js'

export interface JobContext {
  readonly arena: TensorArena
  readonly logger: Logger
  /** Where the hashes of weights are remembered. */
  readonly cacheDirectory: string
}

/**
 * Runs one job from prompt to PNG. The pipeline runs here, in the daemon; the workers of the job's devices run the networks,
 * and the base device's worker the denoising loop.
 * Whatever happens ends up in the job's events; nothing is thrown.
 */
export async function runJob(job: JobRecord, placement: Placement, context: JobContext): Promise<void> {
  const log = context.logger.child({ job: job.id, device: placement.base.device.name })
  let stages: RemoteStages | undefined
  let end: () => void
  try {
    const began = performance.now()
    const { request } = job
    const adapters = planAdapters(request)
    const notes = [...placement.notes, ...adapters.notes]
    notes.forEach((message) => job.emit({ type: 'warning', message }))
    const run = openRun(job, placement, adapters, context, log)
    ;({ stages } = run)
    await stages.load()
    const loadMs = performance.now() - began
    job.emit({ type: 'model-loaded', model: request.model, elapsedMs: loadMs })

    await generateImages(job, run)
    const [{ time: created }] = job.events
    const queuedMs = (job.describe().startedAt ?? created) - created
    const timings = { queuedMs, loadMs, generateMs: performance.now() - began - loadMs, runtimeMs: stages.runtimeMs }
    log.info({ timings }, 'job completed')
    end = () => job.complete(timings)
  } catch (error) {
    log.warn({ err: error }, 'job ended early')
    end = () => job.fail(error)
  }
  // Its end is told when nothing of it is left: whoever waits for it may ask for the devices and the memory at once.
  await stages?.close().catch((error: unknown) => log.error({ err: error }, 'the tensors of a job were not released'))
  end()
}

/** The stages of a job, which tell their news as events of the job. */
function openRun(
  job: JobRecord,
  placement: Placement,
  adapters: AdapterPlan,
  { arena, cacheDirectory }: JobContext,
  log: Logger,
): RunParts {
  const { request } = job
  const checkpoint = openCheckpoint(request.modelPath, request.modelOptions)
  let appliedAt: number | undefined
  const stages = createRemoteStages({
    ...{ job: job.id, work: jobWork(request, checkpoint), placement, arena, checkpoint },
    ...{ modelOptions: request.modelOptions, signal: job.signal },
    ...(adapters.uses.length > 0 && { adapters: { uses: adapters.uses, inText: adapters.inText } }),
    controls: jobControls(job),
    onRestart: (device, reason) => job.emit({ type: 'worker-restarted', device, step: job.step, reason }),
    onNote: (message) => job.emit({ type: 'warning', message }),
    onPrepared: (prepared) => log.info({ prepared }, 'prepared for the job'),
    onAdapters: ({ call }) => {
      appliedAt = call
      job.emit({ type: 'adapters-applied', step: call, loras: request.loras.map(({ name }) => name) })
    },
  })
  return { checkpoint, stages, adapters, cacheDirectory, appliedAt: () => appliedAt }
}

interface RunParts {
  readonly checkpoint: Checkpoint
  readonly stages: RemoteStages
  readonly adapters: AdapterPlan
  readonly cacheDirectory: string
  /** The model call at which LoRAs took effect. */
  readonly appliedAt: () => number | undefined
}

async function generateImages(
  job: JobRecord,
  { checkpoint, stages, adapters, cacheDirectory, appliedAt }: RunParts,
): Promise<void> {
  const { request, signal } = job
  // Read beside the job: nobody should wait for the hash of a file of gigabytes before the first step.
  const hashes = hashWeights(request, checkpoint, cacheDirectory)
  hashes.catch(() => undefined)
  const { description, sampler, scheduleType } = chooseScheduler(request.scheduler, checkpoint)
  const described: GenerateRequest = {
    ...engineRequest(request, job.inputs, description),
    ...(stages.adapters && { adapters: { prepared: stages.adapters, ...adapters.when } }),
    ...(request.controls.length > 0 && { controls: controlWindows(request, stages.controls) }),
  }
  const { images } = await generate({
    checkpoint,
    tokenizers: await openTokenizers(checkpoint),
    stages,
    request: described,
    addons: () => addonFiles(request),
    signal,
    onStep: stepReporter(job, createPreviews(job, checkpoint, description)),
    onPhase: (phase) => job.emit({ type: 'phase', phase }),
    onNote: (message) => job.emit({ type: 'warning', message }),
  })
  const loraPatchStep = adapters.isOpen ? stepOfCall(appliedAt(), createScheduler(description, 1).order) : undefined
  const facts = { sampler, scheduleType, hashes: await hashes, ...(loraPatchStep !== undefined && { loraPatchStep }) }
  const seeds = imageSeeds(described, images.length).map(Number)
  for (const [index, image] of images.entries()) {
    const { width, height } = image
    const seed = seeds[index]
    const png = await encodePng(image, imageTexts(request, { index, seed }, facts))
    job.addImage(png, { width, height, seed })
  }
}

/** The files of a request's LoRAs and ControlNets. */
function addonFiles({ loras, controls }: ResolvedRequest): Ingredient[] {
  return [...loras.map(({ path }) => ({ weightsPath: path })), ...controls.map(({ path }) => inspectControlNet(path))]
}

/** Reports each finished step. */
function stepReporter(job: JobRecord, preview: ReturnType<typeof createPreviews>): GenerateInputs['onStep'] {
  return (step) => {
    const { index, total, timestep, sigma, elapsedMs, runtimeMs, devices } = step
    // Not every method has sigmas, and JSON has no NaN.
    const known = Number.isFinite(sigma) && { sigma }
    const times = { elapsedMs, runtimeMs, ...(devices && { devices: [...devices] }) }
    job.emit({ type: 'step', step: index + 1, total, timestep, ...known, ...times })
    preview?.(step)
  }
}

/** One tokenizer for each text encoder. They are small files, read for each job so that a changed model is noticed. */
function openTokenizers(checkpoint: Checkpoint): Promise<ClipTokenizer[]> {
  return Promise.all(checkpoint.textEncoders.map(({ tokenizerDirectory }) => openTokenizer(tokenizerDirectory)))
}
