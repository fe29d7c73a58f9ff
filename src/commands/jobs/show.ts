import { formatAge, formatBytes } from '../../daemon/models/format.js'
import type { Job } from '../../daemon/protocol/job.js'
import { BaseCommand } from '../_shared/base-command.js'
import { describeProgress, findJob, JOB_ARG } from '../_shared/job-reference.js'
import { useDaemon } from '../_shared/use-daemon.js'

export default class JobsShow extends BaseCommand {
  static override summary = 'Show a job: its state, all that it draws with, and its images.'

  static override examples = ['<%= config.bin %> jobs show 4f', '<%= config.bin %> jobs show 4f2a91c07be3 --json']

  static override args = { job: JOB_ARG }

  async run(): Promise<Job> {
    const { args } = await this.parse(JobsShow)
    const job = await useDaemon((client) => findJob(client, args.job))
    if (!this.jsonEnabled()) this.log(describe(job))
    return job
  }
}

function describe(job: Job): string {
  const { id, state, request, device, createdAt, startedAt, finishedAt, images, error } = job
  const { prompt, modelPath, ...settings } = request
  const facts: [string, string | undefined][] = [
    ['job', id],
    ['state', [state, describeProgress(job)].filter((part) => part !== '').join(', ')],
    ['error', error?.message],
    ['device', device],
    ['submitted', formatAge(new Date(createdAt))],
    ['took', startedAt && finishedAt ? `${((finishedAt - startedAt) / 1000).toFixed(1)} s` : undefined],
    ['prompt', prompt],
    ...Object.entries(settings).map(([name, value]): [string, string | undefined] => [name, show(value)]),
    ['modelPath', modelPath],
    ...images.map(({ index, width, height, seed, byteLength }): [string, string] => {
      return [`image ${index}`, `${width}x${height}, seed ${seed}, ${formatBytes(byteLength)}`]
    }),
  ]
  const known = facts.filter((fact): fact is [string, string] => fact[1] !== undefined && fact[1] !== '')
  const width = Math.max(...known.map(([name]) => name.length))
  return known.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n')
}

function show(value: unknown): string | undefined {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return undefined
  return typeof value === 'string' ? value : JSON.stringify(value)
}
