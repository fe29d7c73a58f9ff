import { isSwiftdError, SwiftdError } from '../../engine/errors.js'
import { ERRORS, toWireError, type WireError } from '../../daemon/protocol/error.js'
import type { Job } from '../../daemon/protocol/job.js'
import { submitJob } from './follow-job.js'
import { finishJob, showSaved, type GenerateSession } from './generate-job.js'
import type { GenerateResult } from './generate-result.js'
import { lineRequest, readPromptLines, type PromptLine } from './generate-lines.js'
import { runLines, type Outcome, type QueueOptions } from './generate-queue.js'
import { fieldsOf, picturesOf } from './generate-request.js'
import { createSeveralProgress, type SeveralProgress } from './progress-several.js'
import { distinctTargets } from './save-images.js'

/** What became of a line: its result (with --detach its job), or its error. */
export type LineResult = { readonly line: number } & (GenerateResult | Job | { readonly error: WireError })

/** What --json prints of a file of prompts, in the order of its lines. */
export interface LinesResult {
  readonly results: readonly LineResult[]
  /** Why not all lines were tried. */
  readonly error?: WireError
}

/**
 * Makes what each line of a file stands for. A line that fails is reported and stops no other; the exit code is that of
 * the first.
 * @throws SwiftdError what ended all of it: an interruption, or a daemon that cannot be reached
 */
export async function generateLines(session: GenerateSession, file: string): Promise<LinesResult> {
  const { flags, output, quiet, signal } = session
  if (file === '-' && process.stdin.isTTY && !quiet) process.stderr.write('One prompt a line; Ctrl-D ends them.\n')
  const lines = await readPromptLines(file, signal)
  checkFitsStdout(session, lines)
  const progress = createSeveralProgress({ quiet, total: lines.length })
  try {
    const options = { ...(await lineOptions(session, progress)), signal }
    const run = flags.detach ? detached(session, lines, options) : finished(session, lines, options, progress)
    const { outcomes, stopped } = await run
    progress.close()
    for (const outcome of flags.show ? outcomes : []) {
      if ('result' in outcome && 'jobId' in outcome.result) await showSaved(session, outcome.result)
    }
    return conclude(session, outcomes, stopped)
  } finally {
    progress.close()
    output.release()
  }
}

type Submission = Pick<QueueOptions<PromptLine, unknown>, 'submit' | 'onFull' | 'signal'>

/** How a line becomes a job. The pictures of the flags are read once. */
async function lineOptions(
  { client, paths, flags }: GenerateSession,
  progress: SeveralProgress,
): Promise<Pick<Submission, 'submit' | 'onFull'>> {
  const defaults = { ...fieldsOf(flags), ...(await picturesOf(flags)) }
  const onStart = (): void => progress.note('Starting the daemon')
  return {
    async submit(line, index) {
      try {
        return await submitJob(client, paths, await lineRequest(defaults, line, index), onStart)
      } catch (error) {
        if (!isSwiftdError(error) || error.code !== 'QUEUE_FULL') progress.end(line.line, true)
        throw error
      }
    },
    onFull: () => progress.note('The queue of the daemon is full; waiting for room'),
  }
}

interface Finished<T> {
  readonly outcomes: Outcome<T>[]
  readonly stopped: unknown
}

function detached(
  session: GenerateSession,
  lines: readonly PromptLine[],
  options: Submission,
): Promise<Finished<GenerateResult | Job>> {
  return runLines(lines, {
    ...options,
    follow: (job) => Promise.resolve(job),
    onOutcome: (outcome) => report(session, outcome, (job) => session.output.submitted(job)),
  })
}

function finished(
  session: GenerateSession,
  lines: readonly PromptLine[],
  options: Submission,
  progress: SeveralProgress,
): Promise<Finished<GenerateResult | Job>> {
  const { output } = session
  const targetFor = distinctTargets(session.target)
  return runLines<PromptLine, GenerateResult>(lines, {
    ...options,
    async follow(job, { line }) {
      const of = { line, jobId: job.id }
      progress.job(line, job)
      const end = (failed: boolean): void => progress.end(line, failed)
      const onEvent: Parameters<typeof finishJob>[2]['onEvent'] = (event) => {
        progress.event(line, event)
        output.event(event, of)
      }
      const result = finishJob(session, job, { target: targetFor(job, line), onEvent })
      result.then(
        () => end(false),
        () => end(true),
      )
      return result
    },
    onOutcome: (outcome) => report(session, outcome, (result) => output.result(result, outcome.line)),
  })
}

function report<T>({ output }: GenerateSession, outcome: Outcome<T>, tell: (result: T) => void): void {
  if ('result' in outcome) tell(outcome.result)
  else output.failure(outcome.error, outcome.line)
}

function conclude(
  { output }: GenerateSession,
  outcomes: readonly Outcome<GenerateResult | Job>[],
  stopped: unknown,
): LinesResult {
  const failures = outcomes.flatMap((outcome) => ('error' in outcome ? [toWireError(outcome.error)] : []))
  const error = stopped === undefined ? undefined : toWireError(stopped)
  if (error && output.mode !== 'json') throw stopped
  const [first] = error ? [error] : failures
  if (first !== undefined) process.exitCode = ERRORS[first.code].exitCode
  const results = outcomes.map((outcome): LineResult => {
    const { line } = outcome
    return 'error' in outcome ? { line, error: toWireError(outcome.error) } : { line, ...outcome.result }
  })
  return { results, ...(error && { error }) }
}

/** One image can be written to stdout, of one line. */
function checkFitsStdout({ target, flags }: GenerateSession, lines: readonly PromptLine[]): void {
  if (target.kind !== 'stdout') return
  const counts = lines.map(({ content }) => ('numImages' in content ? Number(content.numImages) : (flags.n ?? 1)))
  const images = counts.reduce((sum, count) => sum + count, 0)
  if (images === 1) return
  const remedy = 'give the name of a file, such as -o "{line}.png"'
  throw new SwiftdError('INVALID_REQUEST', `"-o -" takes one image, not the ${images} of these prompts; ${remedy}.`)
}
