import { SwiftdError } from '../../engine/errors.js'
import { PeerLost } from './passes/peer-lost.js'
import {
  RESULTS,
  type Answer,
  type DenoiseProgress,
  type Method,
  type Parameters,
  type Result,
  type ToWorker,
} from './messages.js'

export interface RequestOptions {
  /** Asks the worker to stop; the request still settles by the worker's answer, or by its death. */
  readonly signal?: AbortSignal
  /** A worker that does not answer in this time is not trusted any more: `onDeadline` is called. */
  readonly deadlineMs: number
  /** Told of every step on the way; each one begins the deadline anew. */
  readonly onProgress?: (progress: DenoiseProgress) => void
}

/** The daemon's end of a conversation with one worker. It knows nothing of processes. */
export interface Channel {
  /** Requests that are not answered yet. */
  readonly pending: number
  /**
   * @throws SwiftdError with the worker's code; CANCELLED if `signal` aborted; WORKER_LOST if the channel closes
   */
  readonly request: <M extends Method>(
    method: M,
    parameters: Parameters<M>,
    options: RequestOptions,
  ) => Promise<Result<M>>
  /** Takes an answer. One for a request that is not pending is ignored. */
  receive(message: Answer): void
  /** Fails everything pending, and every later request, with WORKER_LOST and the reason. */
  close(reason: string): void
}

interface Pending {
  progress(progress: DenoiseProgress): void
  resolve(result: unknown): void
  reject(error: Error): void
}

export interface ChannelTransport {
  readonly send: (message: ToWorker) => void
  /** The worker did not answer a request in time. The owner ends it, which settles the request. */
  readonly onDeadline: (method: Method, deadlineMs: number) => void
}

export function createChannel({ send, onDeadline }: ChannelTransport): Channel {
  const pending = new Map<number, Pending>()
  let lastId = 0
  let closedBecause: string | undefined

  async function request<M extends Method>(
    method: M,
    parameters: Parameters<M>,
    { signal, deadlineMs, onProgress }: RequestOptions,
  ): Promise<Result<M>> {
    if (closedBecause !== undefined) throw lost(closedBecause)
    if (signal?.aborted) throw new SwiftdError('CANCELLED', 'The job was cancelled.')
    const id = ++lastId
    const cancel = (): void => send({ type: 'cancel', id })
    const deadline = setTimeout(() => onDeadline(method, deadlineMs), deadlineMs)
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      const result = await new Promise<unknown>((resolve, reject) => {
        pending.set(id, {
          resolve,
          reject,
          progress(progress) {
            deadline.refresh()
            onProgress?.(progress)
          },
        })
        send({ type: 'request', id, method, parameters })
      })
      return RESULTS[method].parse(result) as Result<M>
    } finally {
      clearTimeout(deadline)
      signal?.removeEventListener('abort', cancel)
      pending.delete(id)
    }
  }

  return {
    get pending() {
      return pending.size
    },
    request,
    receive(message) {
      const waiting = pending.get(message.id)
      if (message.type === 'progress') message.steps.forEach((step) => waiting?.progress(step))
      else if (message.type === 'result') waiting?.resolve(message.result)
      else waiting?.reject(readError(message))
    },
    close(reason) {
      closedBecause ??= reason
      for (const waiting of pending.values()) waiting.reject(lost(reason))
    },
  }
}

/** A worker's error. Where it lost another worker, that one's device is known. */
function readError({ error, lostDevice }: Extract<Answer, { type: 'error' }>): SwiftdError {
  return lostDevice === undefined ? new SwiftdError(error.code, error.message) : new PeerLost(lostDevice, error.message)
}

function lost(reason: string): SwiftdError {
  return new SwiftdError('WORKER_LOST', `The worker is gone: ${reason}.`)
}
