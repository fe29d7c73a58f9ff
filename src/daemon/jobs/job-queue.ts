import { SwiftdError } from '../../engine/errors.js'
import type { Logger } from '../logger.js'
import type { Availability, Placement, PlacementChoice } from '../placement/placement.js'
import type { DeviceWorker } from '../workers/device-worker.js'
import type { JobRecord } from './job.js'
import type { JobStore } from './job-store.js'

/**
 * Admits jobs, keeps their order, and gives each its devices as soon as they are free. A device is the base, or the second
 * device, of one job at a time; its ControlNets serve any number.
 */
export interface JobQueue {
  readonly queued: number
  readonly limit: number
  /** What runs, by base or second device. */
  readonly running: ReadonlyMap<DeviceWorker, JobRecord>
  /** How many jobs that are. */
  readonly runningJobs: number
  /** Makes a job with `create`, which is told its position, and queues it.
   * @throws SwiftdError QUEUE_FULL; DAEMON_UNREACHABLE while draining */
  submit(create: (queuePosition: number) => JobRecord): JobRecord
  /** Jobs before this one, or undefined if it does not wait. */
  positionOf(job: JobRecord): number | undefined
  /** Takes no more jobs, cancels what waits at once and what runs after `graceMs`; settles when nothing runs. */
  drain(graceMs: number): Promise<void>
}

export interface JobQueueOptions {
  readonly devices: readonly DeviceWorker[]
  readonly store: JobStore
  readonly logger: Logger
  /** Chooses the devices of a job. */
  readonly place: (job: JobRecord, availability: Availability) => PlacementChoice
  /** Runs a job to its end on its devices. It must not throw for what happens to the job. */
  readonly run: (job: JobRecord, placement: Placement) => Promise<void>
  /** @default 64 */
  readonly limit?: number
}

export function createJobQueue({ devices, store, logger, place, run, limit = 64 }: JobQueueOptions): JobQueue {
  const waiting: JobRecord[] = []
  const running = new Map<DeviceWorker, JobRecord>()
  const idleWaiters: (() => void)[] = []
  let draining = false

  function submit(create: (queuePosition: number) => JobRecord): JobRecord {
    if (draining)
      throw new SwiftdError('DAEMON_UNREACHABLE', 'The daemon is stopping and takes no more jobs; try again.')
    if (waiting.length >= limit) {
      throw new SwiftdError('QUEUE_FULL', `The queue is full with ${limit} jobs; try again when some are done.`)
    }
    const job = create(waiting.length + (running.size < devices.length ? 0 : jobsRunning().length))
    store.add(job)
    job.signal.addEventListener('abort', () => leaveQueue(job), { once: true })
    waiting.push(job)
    dispatch()
    return job
  }

  const jobsRunning = (): JobRecord[] => [...new Set(running.values())]

  /**
   * Starts every job whose devices are free, in order. What an earlier job waits for is not given to a later one, so that
   * a job that needs two devices gets them some time.
   */
  function dispatch(): void {
    const claimed = new Set<DeviceWorker>()
    for (const job of [...waiting]) {
      const free = devices.filter((device) => !running.has(device) && !claimed.has(device))
      if (free.length === 0) return
      const choice = place(job, { devices, free, waiting: waiting.length })
      if (choice.kind === 'wait') {
        choice.claims.forEach((device) => claimed.add(device))
        void choice.until?.then(dispatch)
      } else {
        waiting.splice(waiting.indexOf(job), 1)
        void runOn(choice.placement, job)
      }
    }
  }

  async function runOn(placement: Placement, job: JobRecord): Promise<void> {
    const taken = [placement.base, ...(placement.second ? [placement.second] : [])]
    taken.forEach((device) => running.set(device, job))
    job.start(placement.base.device.name)
    try {
      await run(job, placement)
    } catch (error) {
      logger.error({ err: error, job: job.id }, 'the job failed unexpectedly')
      job.fail(error)
    }
    taken.forEach((device) => running.delete(device))
    store.retire(job)
    dispatch()
    if (running.size === 0) for (const resolve of idleWaiters.splice(0)) resolve()
  }

  function leaveQueue(job: JobRecord): void {
    const index = waiting.indexOf(job)
    if (index < 0) return
    waiting.splice(index, 1)
    store.retire(job)
  }

  async function drain(graceMs: number): Promise<void> {
    draining = true
    for (const job of [...waiting]) job.cancel()
    if (running.size === 0) return
    const idle = new Promise<void>((resolve) => idleWaiters.push(resolve))
    const timer = setTimeout(() => jobsRunning().forEach((job) => job.cancel()), graceMs)
    await idle
    clearTimeout(timer)
  }

  return {
    get queued() {
      return waiting.length
    },
    limit,
    running,
    get runningJobs() {
      return jobsRunning().length
    },
    submit,
    positionOf(job) {
      const index = waiting.indexOf(job)
      return index < 0 ? undefined : index + jobsRunning().length
    },
    drain,
  }
}
