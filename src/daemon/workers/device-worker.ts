import { setTimeout as sleep } from 'node:timers/promises'
import { SwiftdError, isSwiftdError } from '../../engine/errors.js'
import { createDeferred } from '../deferred.js'
import type { Logger } from '../logger.js'
import type { DeviceState, DeviceStatus } from '../protocol/status.js'
import type { DeviceSpec } from './devices.js'
import type { WorkerProcess } from './worker-process.js'

/** Keeps one worker alive on a device. */
export interface DeviceWorker {
  readonly device: DeviceSpec
  readonly status: Omit<DeviceStatus, 'jobId'>
  /**
   * The worker that is ready, or the next one that will be.
   * @throws SwiftdError WORKER_LOST if the device failed or is stopped
   */
  ready(): Promise<WorkerProcess>
  /** Ends the worker; it is not replaced any more. */
  stop(): Promise<void>
}

export interface SupervisionOptions {
  readonly start: (device: DeviceSpec) => Promise<WorkerProcess>
  readonly logger: Logger
  /** Before the second attempt to start; doubles with each further one. */
  readonly backoffMs?: number
}

/** A worker that dies this often in a row before it is ready will not come up by trying. */
const MAX_FAILED_STARTS = 3
const MAX_BACKOFF_MS = 10_000

/** Starts a device's worker and replaces it whenever it dies. */
export function superviseDevice(device: DeviceSpec, options: SupervisionOptions): DeviceWorker {
  const { start, logger, backoffMs = 200 } = options
  let state: Exclude<DeviceState, 'busy'> = 'starting'
  let worker: WorkerProcess | undefined
  let next = createDeferred<WorkerProcess>()
  let restarts = 0
  let reason: string | undefined
  const stopping = new AbortController()
  const stopped = supervise()

  async function supervise(): Promise<void> {
    for (let failedStarts = 0, deaths = 0; !stopping.signal.aborted;) {
      const started = await tryStart()
      if (!started) {
        if (++failedStarts >= MAX_FAILED_STARTS) return fail()
        await pause(backoffMs * 2 ** failedStarts)
        continue
      }
      failedStarts = 0
      const readySince = performance.now()
      reason = await started.exited
      worker = undefined
      if (stopping.signal.aborted) return
      // A worker that lived for a while was healthy; only quick deaths in a row are spaced out.
      deaths = performance.now() - readySince > 60_000 ? 0 : deaths + 1
      state = 'starting'
      restarts++
      logger.warn({ device: device.name, reason, restarts }, 'worker died, starting another')
      if (deaths > 1) await pause(backoffMs * 2 ** (deaths - 2))
    }
  }

  async function tryStart(): Promise<WorkerProcess | undefined> {
    try {
      const started = await start(device)
      if (stopping.signal.aborted) {
        await started.stop()
        return undefined
      }
      worker = started
      state = 'idle'
      next.resolve(started)
      next = createDeferred<WorkerProcess>()
      return started
    } catch (error) {
      reason = isSwiftdError(error) ? error.message : String(error)
      logger.error({ device: device.name, reason }, 'worker did not start')
      return undefined
    }
  }

  function fail(): void {
    state = 'failed'
    logger.fatal({ device: device.name, reason }, 'giving the device up')
    next.reject(unavailable())
  }

  function pause(milliseconds: number): Promise<void> {
    return sleep(Math.min(milliseconds, MAX_BACKOFF_MS), undefined, { signal: stopping.signal }).catch(() => undefined)
  }

  function unavailable(): SwiftdError {
    const why = state === 'failed' ? `its worker could not be started: ${reason}` : 'the daemon is stopping'
    return new SwiftdError('WORKER_LOST', `The device ${device.name} is not available, ${why}`)
  }

  return {
    device,
    get status() {
      const { pid, precision } = worker ?? {}
      return { name: device.name, threads: device.threads, state, precision, pid, restarts, reason }
    },
    async ready() {
      if (worker?.alive) return worker
      if (state === 'failed' || state === 'stopped') throw unavailable()
      return next.promise
    },
    async stop() {
      state = 'stopped'
      stopping.abort()
      next.reject(unavailable())
      await worker?.stop()
      await stopped
    },
  }
}
