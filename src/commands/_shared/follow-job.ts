import { isSwiftdError, SwiftdError } from '../../engine/errors.js'
import { startDaemon } from '../../daemon/client/autostart.js'
import type { DaemonClient } from '../../daemon/client/client.js'
import { isNotRunning } from '../../daemon/client/transport.js'
import type { DaemonPaths } from '../../daemon/paths.js'
import type { JobEvent, TerminalEvent } from '../../daemon/protocol/event.js'
import type { Job } from '../../daemon/protocol/job.js'
import type { GenerateRequest } from '../../daemon/protocol/request.js'
import { daemonOptions } from './daemon-options.js'
import { resolveSetting } from './setting-values.js'

/** Submits a job to the daemon; see `withDaemon`. */
export function submitJob(
  client: DaemonClient,
  paths: DaemonPaths,
  request: GenerateRequest,
  onStart: () => void,
): Promise<Job> {
  return withDaemon(paths, onStart, () => client.submit(request))
}

/**
 * Asks the daemon for something; where none runs, one is started first, unless the setting `autostart` is off. `onStart`
 * is told so. A daemon of another version is restarted if the person at the terminal agrees.
 */
export async function withDaemon<T>(paths: DaemonPaths, onStart: () => void, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (isSwiftdError(error) && error.code === 'DAEMON_VERSION') {
      const { offerRestart } = await import('./restart-daemon.js')
      if (!(await offerRestart(paths))) throw error
    } else {
      if (!isNotRunning(error) || !resolveSetting('autostart').value) throw error
      onStart()
      await startDaemon(paths, daemonOptions())
    }
    return ask()
  }
}

export interface FollowOptions {
  readonly onEvent: (event: JobEvent) => void
  /** Cancels the job on the daemon; its reason is what the command fails with. */
  readonly signal: AbortSignal
}

/**
 * Follows a job to its end. A job whose client goes away goes on; only `signal` cancels it.
 * @throws SwiftdError the job's own error, or the reason of `signal`
 */
export async function followJob(
  client: DaemonClient,
  id: string,
  { onEvent, signal }: FollowOptions,
): Promise<Extract<TerminalEvent, { type: 'completed' }>> {
  // The terminal event tells when the job has really stopped; what the answer to `cancel` says does not matter.
  const cancel = (): void => void client.cancel(id).catch(() => undefined)
  if (signal.aborted) cancel()
  signal.addEventListener('abort', cancel, { once: true })
  try {
    for await (const event of client.events(id)) {
      onEvent(event)
      if (event.type === 'completed') return event
      if (event.type === 'failed') throw new SwiftdError(event.error.code, event.error.message)
      if (event.type === 'cancelled') throw cancellation(signal, id)
    }
    throw new Error('The events of a job ended without a terminal one.')
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}

function cancellation(signal: AbortSignal, id: string): Error {
  if (signal.aborted && signal.reason instanceof Error) return signal.reason
  return new SwiftdError('CANCELLED', `The job ${id} was cancelled on the daemon.`)
}
