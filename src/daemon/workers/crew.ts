import { isSwiftdError, SwiftdError } from '../../engine/errors.js'
import { createDeferred } from '../deferred.js'
import type { DeviceWorker } from './device-worker.js'
import type { WorkerProcess } from './worker-process.js'

/** A device that takes part in a job, with what its worker needs before it can. */
export interface CrewMember {
  readonly device: DeviceWorker
  /** The worker, prepared; where it was replaced, its replacement is waited for and prepared again. */
  readonly ready: () => Promise<WorkerProcess>
  /** The worker that was ready last. */
  readonly worker: WorkerProcess | undefined
}

export function createCrewMember(
  device: DeviceWorker,
  prepare: (worker: WorkerProcess) => Promise<void>,
  signal: AbortSignal,
): CrewMember {
  let worker: WorkerProcess | undefined
  let preparing: Promise<void> | undefined
  return {
    device,
    get worker() {
      return worker
    },
    async ready() {
      const next = await unlessAborted(device.ready(), signal)
      if (next !== worker || !preparing) {
        worker = next
        preparing = prepare(next)
        // Another one may be the first to wait for it.
        preparing.catch(() => (preparing = undefined))
      }
      await preparing
      return next
    },
  }
}

/** Whether an error means that a worker is gone, so that the same can be asked of another. */
export function isWorkerLost(error: unknown): error is SwiftdError {
  return isSwiftdError(error) && error.code === 'WORKER_LOST'
}

/** The promise, or CANCELLED as soon as the job is. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = createDeferred<never>()
  const abort = (): void => aborted.reject(new SwiftdError('CANCELLED', 'The job was cancelled.'))
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
