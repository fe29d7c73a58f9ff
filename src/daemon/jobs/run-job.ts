import { formatInfotext } from '../../engine/image/infotext.js'
import { encodePng } from '../../engine/image/png.js'
import { generate, type GenerateInputs } from '../../engine/pipeline/generate.js'
import { openTokenizer, type ClipTokenizer } from '../../engine/text/tokenizer.js'
import { openCheckpoint, type Checkpoint } from '../../engine/weights/checkpoint.js'
import { sha256OfFile } from '../../engine/weights/file-hash.js'
import type { Logger } from '../logger.js'
import { SWIFTD_VERSION } from '../protocol/version.js'
import type { ResolvedRequest } from '../protocol/request.js'
import type { DeviceWorker } from '../workers/device-worker.js'
import { createRemoteStages, type RemoteStages } from '../workers/remote-stages.js'
import type { TensorArena } from '../workers/tensor-arena.js'
import { engineRequest } from './engine-request.js'
import type { JobRecord } from './job.js'
import { chooseScheduler } from './scheduler-choice.js'

export interface JobContext {
  readonly arena: TensorArena
  readonly logger: Logger
  /** Where the hashes of weights are remembered. */
  readonly cacheDirectory: string
}

/**
 * Runs one job from prompt to PNG. The pipeline runs here, in the daemon; the device's worker runs the networks and, since
 * it has them all, the denoising loop between them.
 * Whatever happens ends up in the job's events; nothing is thrown.
 */
export async function runJob(job: JobRecord, device: DeviceWorker, context: JobContext): Promise<void> {
  const { arena, logger, cacheDirectory } = context
  const { request, signal } = job
  const log = logger.child({ job: job.id, device: device.device.name })
  const began = performance.now()
  let stages: RemoteStages | undefined
  try {
    const checkpoint = openCheckpoint(request.modelPath, request.modelOptions)
    stages = createRemoteStages({
      ...{ device, arena, checkpoint, modelOptions: request.modelOptions, signal },
      onRestart: (reason) => job.emit({ type: 'worker-restarted', device: device.device.name, step: job.step, reason }),
    })
    await stages.load()
    const loadMs = performance.now() - began
    job.emit({ type: 'model-loaded', model: request.model, elapsedMs: loadMs })

    await generateImages(job, checkpoint, stages, cacheDirectory)
    const [{ time: created }] = job.events
    const queuedMs = (job.describe().startedAt ?? created) - created
    const timings = { queuedMs, loadMs, generateMs: performance.now() - began - loadMs, runtimeMs: stages.runtimeMs }
    log.info({ timings }, 'job completed')
    job.complete(timings)
  } catch (error) {
    log.warn({ err: error }, 'job ended early')
    job.fail(error)
  } finally {
    await stages?.close()
  }
}

async function generateImages(
  job: JobRecord,
  checkpoint: Checkpoint,
  stages: RemoteStages,
  cacheDirectory: string,
): Promise<void> {
  const { request, signal } = job
  // Read beside the job: nobody should wait for the hash of a file of gigabytes before the first step.
  const modelHash = sha256OfFile(checkpoint.unet.weightsPath, cacheDirectory)
  modelHash.catch(() => undefined)
  const seeds = Array.from({ length: request.numImages }, (_, index) => request.seed + index)
  const scheduler = chooseScheduler(request.scheduler, checkpoint)
  const { images } = await generate({
    checkpoint,
    tokenizers: await openTokenizers(checkpoint),
    stages,
    request: engineRequest(request, job.inputs, scheduler.description),
    signal,
    onStep: stepReporter(job),
    onNote: (message) => job.emit({ type: 'warning', message }),
  })
  for (const [index, image] of images.entries()) {
    const { width, height } = image
    const parameters = infotext(request, seeds[index], scheduler, (await modelHash).slice(0, 10))
    job.addImage(await encodePng(image, { parameters }), { width, height, seed: seeds[index] })
  }
}

/** Reports each finished step. */
function stepReporter(job: JobRecord): GenerateInputs['onStep'] {
  return ({ index, total, timestep, sigma, elapsedMs, runtimeMs }) => {
    // Not every method has sigmas, and JSON has no NaN.
    const known = Number.isFinite(sigma) && { sigma }
    job.emit({ type: 'step', step: index + 1, total, timestep, ...known, elapsedMs, runtimeMs })
  }
}

/** One tokenizer for each text encoder. They are small files, read for each job so that a changed model is noticed. */
function openTokenizers(checkpoint: Checkpoint): Promise<ClipTokenizer[]> {
  return Promise.all(checkpoint.textEncoders.map(({ tokenizerDirectory }) => openTokenizer(tokenizerDirectory)))
}

function infotext(
  request: ResolvedRequest,
  seed: number,
  { sampler, scheduleType }: ReturnType<typeof chooseScheduler>,
  modelHash: string,
): string {
  return formatInfotext({
    prompt: request.prompt,
    negativePrompt: request.negativePrompt ?? '',
    steps: request.numInferenceSteps,
    sampler,
    scheduleType,
    cfgScale: request.guidanceScale,
    seed,
    width: request.width,
    height: request.height,
    modelHash,
    model: request.model,
    ...(request.clipSkip !== undefined && { clipSkip: request.clipSkip }),
    version: `swiftd v${SWIFTD_VERSION}`,
  })
}
