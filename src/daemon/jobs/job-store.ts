import { LRUCache } from 'lru-cache'
import { SwiftdError } from '../../engine/errors.js'
import type { JobRecord } from './job.js'

/** Every job that can still be asked about. Finished ones are kept for a while, within bounds. */
export interface JobStore {
  add(job: JobRecord): void
  /** Moves a finished job to those that may be dropped. */
  retire(job: JobRecord): void
  /** @throws SwiftdError JOB_NOT_FOUND, or JOB_EXPIRED if it was dropped */
  get(id: string): JobRecord
  /** Oldest first. */
  list(): JobRecord[]
  /** How many finished jobs are kept. */
  readonly finished: number
}

export interface RetentionLimits {
  readonly maxJobs: number
  /** Of all their images. */
  readonly maxBytes: number
  readonly maxAgeMs: number
}

const DEFAULT_LIMITS: RetentionLimits = { maxJobs: 100, maxBytes: 256 * 1024 ** 2, maxAgeMs: 600_000 }

/** Ids of dropped jobs that are still told apart from ids that never were. */
const REMEMBERED_IDS = 10_000

export function createJobStore({ maxJobs, maxBytes, maxAgeMs }: RetentionLimits = DEFAULT_LIMITS): JobStore {
  const active = new Map<string, JobRecord>()
  const dropped = new LRUCache<string, true>({ max: REMEMBERED_IDS })
  const finished = new LRUCache<string, JobRecord>({
    max: maxJobs,
    maxSize: maxBytes,
    // A record without images has a size, too, because the cache demands one.
    sizeCalculation: ({ images }) => Math.min(maxBytes, 1 + images.reduce((sum, image) => sum + image.byteLength, 0)),
    ttl: maxAgeMs,
    ttlAutopurge: true,
    dispose: (_job, id) => dropped.set(id, true),
  })
  return {
    add: (job) => active.set(job.id, job),
    retire(job) {
      active.delete(job.id)
      finished.set(job.id, job)
    },
    get(id) {
      // Reading does not prolong a job's life.
      const job = active.get(id) ?? finished.peek(id)
      if (job) return job
      if (dropped.has(id)) {
        throw new SwiftdError('JOB_EXPIRED', `The job ${id} is finished, and its record is not kept any more.`)
      }
      throw new SwiftdError('JOB_NOT_FOUND', `There is no job ${id}.`)
    },
    list: () => [...[...finished.values()].reverse(), ...active.values()],
    get finished() {
      return finished.size
    },
  }
}
