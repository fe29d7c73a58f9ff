import { Args } from '@oclif/core'
import type { DaemonClient } from '../../daemon/client/client.js'
import type { Job } from '../../daemon/protocol/job.js'
import { pickName } from './pick-name.js'

/** The argument that names a job. */
export const JOB_ARG = Args.string({ description: 'Id of a job, or a beginning that no other has.', required: true })

const ID_LENGTH = 12

/**
 * The job of an id or of a beginning of one.
 * @throws SwiftdError JOB_NOT_FOUND with the ids that it may be; JOB_EXPIRED
 */
export async function findJob(client: DaemonClient, reference: string): Promise<Job> {
  // The daemon can tell a job that it forgot from one that never was.
  if (reference.length === ID_LENGTH) return client.job(reference)
  const jobs = await client.jobs()
  const names = jobs.map(({ id }) => id)
  const id = pickName(reference, { what: 'job', names, code: 'JOB_NOT_FOUND', remedy: 'the daemon has no jobs' })
  const found = jobs.find((job) => job.id === id)
  return found ?? client.job(id)
}

/** For people: `step 3/20`, `waits behind 2`, or what became of it. */
export function describeProgress({ state, progress, queuePosition, images, error }: Job): string {
  switch (state) {
    case 'queued':
      return queuePosition ? `waits behind ${queuePosition}` : 'waits'
    case 'running':
      return progress ? `step ${progress.step}/${progress.total}` : 'begins'
    case 'completed':
      return `${images.length} ${images.length === 1 ? 'image' : 'images'}`
    case 'failed':
      return error?.code ?? ''
    case 'cancelled':
      return progress ? `at step ${progress.step}/${progress.total}` : ''
  }
}
