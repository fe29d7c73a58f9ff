import { Flags } from '@oclif/core'
import { formatAge } from '../../daemon/models/format.js'
import type { Job, JobState } from '../../daemon/protocol/job.js'
import { BaseCommand } from '../_shared/base-command.js'
import { describeProgress } from '../_shared/job-reference.js'
import { formatColumns } from '../_shared/table.js'
import { useDaemon } from '../_shared/use-daemon.js'

/** What --json prints. */
export interface JobListResult {
  /** Oldest first. */
  readonly jobs: readonly Job[]
}

const STATES = ['queued', 'running', 'completed', 'failed', 'cancelled'] as const satisfies readonly JobState[]
const PROMPT_LENGTH = 40

export default class JobsList extends BaseCommand {
  static override summary = 'List the jobs of the daemon.'

  static override description =
    'Those that wait and run, and those that finished within the last ten minutes (at most 100). Exits with 3 if the ' +
    'daemon does not run.'

  static override aliases = ['jobs:ls']

  static override examples = [
    '<%= config.bin %> jobs list',
    '<%= config.bin %> jobs list --state running --json',
    '<%= config.bin %> jobs list -q --state queued | xargs <%= config.bin %> jobs cancel',
  ]

  static override flags = {
    state: Flags.option({
      description: 'Only jobs of this state.',
      env: 'SWIFTD_JOB_STATE',
      options: STATES,
    })(),
    quiet: Flags.boolean({ char: 'q', description: 'Print ids only.', env: 'SWIFTD_QUIET' }),
  }

  async run(): Promise<JobListResult> {
    const { flags } = await this.parse(JobsList)
    const all = await useDaemon((client) => client.jobs())
    const jobs = all.filter(({ state }) => flags.state === undefined || state === flags.state)
    if (!this.jsonEnabled()) {
      if (flags.quiet) for (const { id } of jobs) this.log(id)
      else this.log(formatColumns([COLUMNS, ...jobs.map(row)]))
    }
    return { jobs }
  }
}

const COLUMNS = ['ID', 'STATE', 'PROGRESS', 'DEVICE', 'MODEL', 'SUBMITTED', 'PROMPT']

function row(job: Job): string[] {
  const { id, state, device = '', request, createdAt } = job
  const prompt = request.prompt.replaceAll(/\s+/g, ' ')
  const short = prompt.length > PROMPT_LENGTH ? `${prompt.slice(0, PROMPT_LENGTH - 1)}…` : prompt
  return [id, state, describeProgress(job), device, request.model, formatAge(new Date(createdAt)), short]
}
