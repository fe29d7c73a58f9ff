import { encodePng } from '../../engine/image/png.js'
import { generate, type GenerateInputs } from '../../engine/pipeline/generate.js'
import { imageSeeds } from '../../engine/pipeline/request.js'
import { openTokenizer, type ClipTokenizer } from '../../engine/text/tokenizer.js'
import { openCheckpoint, type Checkpoint } from '../../engine/weights/checkpoint.js'
import type { Logger } from '../logger.js'
import type { DeviceWorker } from '../workers/device-worker.js'
import { createRemoteStages, type RemoteStages } from '../workers/remote-stages.js'
import type { TensorArena } from '../workers/tensor-arena.js'
import { engineRequest } from './engine-request.js'
import { imageTexts } from './image-metadata.js'
import type { JobRecord } from './job.js'
import { chooseScheduler } from './scheduler-choice.js'
import { hashWeights } from './weight-hashes.js'

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
  const hashes = hashWeights(request, checkpoint, cacheDirectory)
  hashes.catch(() => undefined)
  const { description, sampler, scheduleType } = chooseScheduler(request.scheduler, checkpoint)
  const described = engineRequest(request, job.inputs, description)
  const { images } = await generate({
    checkpoint,
    tokenizers: await openTokenizers(checkpoint),
    stages,
    request: described,
    signal,
    onStep: stepReporter(job),
    onNote: (message) => job.emit({ type: 'warning', message }),
  })
  const facts = { sampler, scheduleType, hashes: await hashes }
  const seeds = imageSeeds(described, images.length).map(Number)
  for (const [index, image] of images.entries()) {
    const { width, height } = image
    const seed = seeds[index]
    const png = await encodePng(image, imageTexts(request, { index, seed }, facts))
    job.addImage(png, { width, height, seed })
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
