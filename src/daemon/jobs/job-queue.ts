import { SwiftdError } from '../../engine/errors.js'
import type { Logger } from '../logger.js'
import type { DeviceWorker } from '../workers/device-worker.js'
import type { JobRecord } from './job.js'
import type { JobStore } from './job-store.js'

/** Admits jobs, keeps their order, and gives each to the first device that is free. One job at a time per device. */
export interface JobQueue {
  readonly queued: number
  readonly limit: number
  /** What runs, by device. */
  readonly running: ReadonlyMap<DeviceWorker, JobRecord>
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
  /** Runs a job to its end on a device. It must not throw for what happens to the job. */
  readonly run: (job: JobRecord, device: DeviceWorker) => Promise<void>
  /** @default 64 */
  readonly limit?: number
}

export function createJobQueue({ devices, store, logger, run, limit = 64 }: JobQueueOptions): JobQueue {
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
    const job = create(waiting.length + (freeDevice() ? 0 : running.size))
    store.add(job)
    job.signal.addEventListener('abort', () => leaveQueue(job), { once: true })
    waiting.push(job)
    dispatch()
    return job
  }

  /** A failed device is free only when no other can take the job: then the job tells why nothing works. */
  function freeDevice(): DeviceWorker | undefined {
    const free = devices.filter((device) => !running.has(device))
    const healthy = devices.some(({ status }) => status.state !== 'failed')
    return (
      free.find(({ status }) => status.state === 'idle') ??
      free.find(({ status }) => !healthy || status.state !== 'failed')
    )
  }

  function dispatch(): void {
    for (;;) {
      const device = freeDevice()
      const job = device && waiting.shift()
      if (!device || !job) return
      void runOn(device, job)
    }
  }

  async function runOn(device: DeviceWorker, job: JobRecord): Promise<void> {
    running.set(device, job)
    job.start(device.device.name)
    try {
      await run(job, device)
    } catch (error) {
      logger.error({ err: error, job: job.id }, 'the job failed unexpectedly')
      job.fail(error)
    }
    running.delete(device)
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
    const timer = setTimeout(() => [...running.values()].forEach((job) => job.cancel()), graceMs)
    await idle
    clearTimeout(timer)
  }

  return {
    get queued() {
      return waiting.length
    },
    limit,
    running,
    submit,
    positionOf(job) {
      const index = waiting.indexOf(job)
      return index < 0 ? undefined : index + running.size
    },
    drain,
  }
}
