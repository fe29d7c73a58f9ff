import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { isSwiftdError } from '../../engine/errors.js'
import type { Job } from '../../daemon/protocol/job.js'

/** What became of a line: its result or why there is none. */
export type Outcome<T> = { readonly line: number } & ({ readonly result: T } | { readonly error: unknown })

export interface QueueOptions<Line, T> {
  readonly submit: (line: Line, index: number) => Promise<Job>
  /** Follows a job that was submitted. */
  readonly follow: (job: Job, line: Line) => Promise<T>
  /** The queue of the daemon is full; told once for each line that waits. */
  readonly onFull: () => void
  /** Told of each line, in their order, as soon as all before it are told; not of those that what ended all ended. */
  readonly onOutcome: (outcome: Outcome<T>) => void
  /** Ends everything: lines that are not submitted yet fail with its reason. `follow` sees to the others. */
  readonly signal: AbortSignal
}

/** How often a full queue is asked again. */
const PATIENCE_MS = 300

/** With these, the next line would not fare better. */
const HOPELESS: ReadonlySet<string> = new Set(['DAEMON_UNREACHABLE', 'DAEMON_VERSION'])

/**
 * Submits the jobs of many lines in their order, and follows all at once. A line that fails stops no other, except where
 * the daemon cannot be reached.
 * @returns the outcomes in the order of the lines, and what ended it early
 */
export async function runLines<Line extends { readonly line: number }, T>(
  lines: readonly Line[],
  { submit, follow, onFull, onOutcome, signal }: QueueOptions<Line, T>,
): Promise<{ readonly outcomes: Outcome<T>[]; readonly stopped: unknown }> {
  // Each job listens, and Node takes more than ten listeners for a leak.
  setMaxListeners(0, signal)
  const outcomes: Promise<Outcome<T>>[] = []
  let stopped: unknown
  const ending = (): unknown => (signal.aborted ? signal.reason : stopped)
  const tell = (outcome: Outcome<T>): void => {
    if ('result' in outcome || outcome.error !== ending()) onOutcome(outcome)
  }
  let told = Promise.resolve()
  for (const [index, line] of lines.entries()) {
    const outcome = await begin(line, index)
    outcomes.push(outcome.settled)
    told = told.then(async () => tell(await outcome.settled))
  }
  await told
  return { outcomes: await Promise.all(outcomes), stopped: ending() }

  /** Settles when the job is submitted, with the promise of its outcome. */
  async function begin(line: Line, index: number): Promise<{ settled: Promise<Outcome<T>> }> {
    const failed = (error: unknown): Outcome<T> => ({ line: line.line, error })
    if (stopped !== undefined) return { settled: Promise.resolve(failed(stopped)) }
    try {
      const job = await submitWhenThereIsRoom(() => submit(line, index), onFull, signal)
      return { settled: follow(job, line).then((result) => ({ line: line.line, result }), failed) }
    } catch (error) {
      if (isSwiftdError(error) && HOPELESS.has(error.code)) stopped = error
      return { settled: Promise.resolve(failed(error)) }
    }
  }
}

async function submitWhenThereIsRoom(
  submit: () => Promise<Job>,
  onFull: () => void,
  signal: AbortSignal,
): Promise<Job> {
  for (let attempts = 0; ; attempts++) {
    if (signal.aborted) throw signal.reason
    try {
      return await submit()
    } catch (error) {
      if (!isSwiftdError(error) || error.code !== 'QUEUE_FULL') throw error
    }
    if (attempts === 0) onFull()
    // The loop looks at the signal itself, whose reason says more than the error of a sleep that was ended.
    await sleep(PATIENCE_MS, undefined, { signal }).catch(() => undefined)
  }
}
