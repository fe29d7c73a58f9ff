import { Flags } from '@oclif/core'
import { SwiftdError } from '../../engine/errors.js'
import type { DaemonClient } from '../../daemon/client/client.js'
import type { ImageInfo, Timings } from '../../daemon/protocol/job.js'
import { BaseCommand } from '../_shared/base-command.js'
import { numberFlag, SECONDS } from '../_shared/flags.js'
import { findJob, JOB_ARG } from '../_shared/job-reference.js'
import { checkOutput, writeOutput } from '../_shared/output-file.js'
import { createProgress } from '../_shared/progress.js'
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
  ]

  static override args = { job: JOB_ARG }

  static override flags = {
    output: Flags.string({
      char: 'o',
      description: 'File for the image, replaced if it exists; of several images, each gets its number: star-0.png.',
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
    return useDaemon(async (client) => {
      const { id } = await findJob(client, args.job)
      const { images, timings } = await this.#follow(client, id, flags.timeout, flags.quiet)
      const saved = []
      for (const image of images) {
        const path = target?.kind === 'file' ? numbered(target.path, image.index, images.length) : undefined
        if (path !== undefined) await writeOutput(path, await client.image(id, image.index))
        if (target?.kind === 'stdout') process.stdout.write(await client.image(id, image.index))
        if (path !== undefined && !this.jsonEnabled()) this.log(path)
        saved.push({ ...image, ...(path !== undefined && { path }) })
      }
      return { jobId: id, images: saved, timings }
    })
  }

  async #follow(client: DaemonClient, id: string, timeoutSeconds: number | undefined, quiet: boolean) {
    const progress = createProgress({ quiet })
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

/** The path itself for one image; with `-INDEX` before its ending for several. */
function numbered(path: string, index: number, count: number): string {
  return count === 1 ? path : path.replace(/(\.[^./]+)?$/, `-${index}$1`)
}
