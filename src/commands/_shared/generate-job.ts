import type { DaemonClient } from '../../daemon/client/client.js'
import type { DaemonPaths } from '../../daemon/paths.js'
import type { JobEvent } from '../../daemon/protocol/event.js'
import type { ImageInfo, Job } from '../../daemon/protocol/job.js'
import { followJob } from './follow-job.js'
import type { GenerateOutput } from './generate-output.js'
import type { GenerateFlags } from './generate-request.js'
import type { GenerateResult } from './generate-result.js'
import type { OutputTarget } from './output-file.js'
import { saveImages } from './save-images.js'

/** What all jobs of one `generate` have in common. */
export interface GenerateSession {
  readonly client: DaemonClient
  readonly paths: DaemonPaths
  readonly flags: GenerateFlags
  readonly target: OutputTarget
  readonly output: GenerateOutput
  /** Ends everything; its reason is what the command fails with. */
  readonly signal: AbortSignal
  /** No progress. */
  readonly quiet: boolean
}

export interface FinishOptions {
  readonly target: OutputTarget
  readonly onEvent: (event: JobEvent) => void
  /** The image to save. @default all */
  readonly index?: number
}

/** Follows a job to its end and saves its images. */
export async function finishJob(
  { client, signal }: GenerateSession,
  job: Job,
  { target, onEvent, index }: FinishOptions,
): Promise<GenerateResult> {
  const { images, timings } = await followJob(client, job.id, { onEvent, signal })
  const wanted = images.filter((image) => index === undefined || image.index === index)
  const saved = await saveImages(client, job.id, wanted, target)
  return { jobId: job.id, model: job.request.model, seed: seedOf(wanted, job.request.seed), images: saved, timings }
}

/** Only where somebody sees it: on stderr, since stdout is for results. */
export async function showSaved({ client, flags }: GenerateSession, { jobId, images }: GenerateResult): Promise<void> {
  if (!flags.show || !process.stderr.isTTY) return
  const { showImage } = await import('../_ui/show-image.js')
  for (const { index } of images) await showImage(await client.image(jobId, index), { stream: process.stderr })
}

function seedOf(images: readonly ImageInfo[], otherwise: number): number {
  return images[0]?.seed ?? otherwise
}
