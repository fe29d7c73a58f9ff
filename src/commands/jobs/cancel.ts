import type { Job } from '../../daemon/protocol/job.js'
import { BaseCommand } from '../_shared/base-command.js'
import { findJob, JOB_ARG } from '../_shared/job-reference.js'
import { useDaemon } from '../_shared/use-daemon.js'

/** What --json prints. */
export interface CancelResult {
  readonly cancelled: readonly string[]
  /** Those that were finished already. */
  readonly finished: readonly string[]
}

export default class JobsCancel extends BaseCommand {
  static override summary = 'Cancel jobs.'

  static override description =
    'What waits ends at once, what runs within a moment. Cancelling a job that is finished succeeds and changes nothing.'

  static override examples = ['<%= config.bin %> jobs cancel 4f', '<%= config.bin %> jobs cancel 4f 9c']

  static override strict = false

  static override args = { job: JOB_ARG }

  async run(): Promise<CancelResult> {
    const { argv } = await this.parse(JobsCancel)
    return useDaemon(async (client) => {
      const jobs: Job[] = []
      // All are looked up first: a mistake in one cancels none.
      for (const reference of argv as string[]) jobs.push(await findJob(client, reference))
      const isFinished = ({ state }: Job): boolean => state !== 'queued' && state !== 'running'
      for (const job of jobs) {
        if (!isFinished(job)) await client.cancel(job.id)
        if (!this.jsonEnabled()) this.log(isFinished(job) ? `${job.id} is ${job.state}` : `${job.id} cancelled`)
      }
      const ids = (finished: boolean): string[] =>
        jobs.filter((job) => isFinished(job) === finished).map(({ id }) => id)
      return { cancelled: ids(false), finished: ids(true) }
    })
  }
}
