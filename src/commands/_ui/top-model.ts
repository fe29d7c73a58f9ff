import type { Job } from '../../daemon/protocol/job.js'
import type { DaemonStatus } from '../../daemon/protocol/status.js'

/** The daemon at one moment. */
export interface Snapshot {
  /** Milliseconds since some begin. */
  readonly at: number
  readonly status: DaemonStatus
  readonly jobs: readonly Job[]
  /** Memory of the machine that programs can still get, in bytes, and all of it. */
  readonly memory: { readonly available: number; readonly total: number }
}

/** How much the daemon gets done. */
export interface Throughput {
  /** Denoising steps a second, of all jobs together, since the snapshot before. */
  readonly stepsPerSecond?: number
  /** Images that were finished within the last minute. */
  readonly imagesPerMinute: number
}

const MINUTE_MS = 60_000

/** What happened between two snapshots. */
export function throughputOf(now: Snapshot, before: Snapshot | undefined, clock = Date.now()): Throughput {
  const images = now.jobs
    .filter(({ finishedAt, state }) => state === 'completed' && finishedAt && clock - finishedAt < MINUTE_MS)
    .reduce((sum, job) => sum + job.images.length, 0)
  if (!before || now.at <= before.at) return { imagesPerMinute: images }
  const stepOf = new Map(before.jobs.map(({ id, progress }) => [id, progress?.step ?? 0]))
  const steps = now.jobs.reduce((sum, { id, progress }) => sum + (progress?.step ?? 0) - (stepOf.get(id) ?? 0), 0)
  return { stepsPerSecond: (1000 * Math.max(0, steps)) / (now.at - before.at), imagesPerMinute: images }
}

/** The jobs that wait or run, those that run first. */
export function activeJobs(jobs: readonly Job[]): Job[] {
  const rank = ({ state, queuePosition = 0 }: Job): number => (state === 'running' ? -1 : queuePosition)
  return jobs.filter(({ state }) => state === 'running' || state === 'queued').sort((a, b) => rank(a) - rank(b))
}
