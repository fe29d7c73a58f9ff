import { Flags } from '@oclif/core'
import { SwiftdError } from '../../engine/errors.js'
import type { DaemonClient } from '../../daemon/client/client.js'
import type { ImageInfo, Job, Timings } from '../../daemon/protocol/job.js'
import { BaseCommand } from '../_shared/base-command.js'
import { numberFlag, SECONDS } from '../_shared/flags.js'
import { findJob, JOB_ARG } from '../_shared/job-reference.js'
import { checkOutput } from '../_shared/output-file.js'
import { createProgress } from '../_shared/progress.js'
import { saveImages, targetOf } from '../_shared/save-images.js'
import { useDaemon } from '../_shared/use-daemon.js'

/** What --json prints. */
export interface WaitResult {
  readonly jobId: string
  readonly images: readonly (ImageInfo & { readonly path?: string })[]
  readonly timings: Timings
}

export default class JobsWait extends BaseCommand {
  static override summary = 'Wait until a job is finished, with its progress on stderr.'

  static override description =
    'Exits as "generate" would have: with 0 if the job is completed, else with the code of its error. Ctrl-C ends the ' +
    'waiting only; "jobs cancel" ends the job.'

  static override examples = [
    '<%= config.bin %> jobs wait 4f',
    '<%= config.bin %> jobs wait 4f -o star.png --timeout 600',
    '<%= config.bin %> jobs wait 4f -o "{job}-{index}.png"',
  ]

  static override args = { job: JOB_ARG }

  static override flags = {
    output: Flags.string({
      char: 'o',
      description:
        'File for the image, replaced if it exists; - is stdout. {seed}, {index} and {job} in its name stand for those of ' +
        'the image; several images get their numbers otherwise: star-0.png.',
      helpValue: 'PATH',
    }),
    timeout: numberFlag('timeout', {
      description: 'Give up waiting and exit with 124 after this many seconds. The job goes on.',
      env: 'SWIFTD_TIMEOUT',
      range: SECONDS,
      helpValue: 'SECONDS',
    }),
    quiet: Flags.boolean({ char: 'q', description: 'Show no progress.', env: 'SWIFTD_QUIET' }),
  }

  async run(): Promise<WaitResult> {
    const { args, flags } = await this.parse(JobsWait)
    const target = flags.output === undefined ? undefined : checkOutput(flags.output)
    if (target?.kind === 'stdout' && this.jsonEnabled()) throw invalid('"-o -" and --json both write to stdout.')
    return useDaemon(async (client) => {
      const job = await findJob(client, args.job)
      const { id, request } = job
      if (target?.kind === 'stdout' && request.numImages > 1) {
        throw invalid(`"-o -" takes one image, and the job ${id} has ${request.numImages}; give -o the name of a file.`)
      }
      const { images, timings } = await this.#follow(client, job, flags)
      if (!target) return { jobId: id, images, timings }
      const saved = await saveImages(client, id, images, targetOf(target, job))
      if (target.kind === 'file' && !this.jsonEnabled()) for (const { path } of saved) this.log(path)
      return { jobId: id, images: images.map((image, i) => ({ ...image, path: saved[i]?.path })), timings }
    })
  }

  async #follow(client: DaemonClient, job: Job, { timeout: timeoutSeconds, quiet }: WaitFlags) {
    const { id } = job
    const progress = createProgress({ quiet })
    progress.job(job)
    const sentence = `The job ${id} was not finished within ${timeoutSeconds} s; it goes on. Raise --timeout.`
    const timer = timeoutSeconds === undefined ? undefined : setTimeout(() => stop.abort(), timeoutSeconds * 1000)
    const stop = new AbortController()
    try {
      for await (const event of client.events(id, stop.signal)) {
        progress.event(event)
        if (event.type === 'completed') return event
        if (event.type === 'failed') throw new SwiftdError(event.error.code, event.error.message)
        if (event.type === 'cancelled') throw new SwiftdError('CANCELLED', `The job ${id} was cancelled.`)
      }
      throw new Error('The events of a job ended without a terminal one.')
    } catch (error) {
      throw stop.signal.aborted ? new SwiftdError('TIMEOUT', sentence, { cause: error }) : error
    } finally {
      clearTimeout(timer)
      progress.close()
    }
  }
}

interface WaitFlags {
  readonly timeout?: number
  readonly quiet: boolean
}

function invalid(sentence: string): SwiftdError {
  return new SwiftdError('INVALID_REQUEST', sentence)
}
