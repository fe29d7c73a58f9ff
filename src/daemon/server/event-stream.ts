import type { JobRecord } from '../jobs/job.js'
import { isTerminal, type JobEvent } from '../protocol/event.js'

/** A client that hears nothing for a few times this long may take the daemon for dead. */
export const HEARTBEAT_MS = 10_000

/**
 * A job's events as lines of JSON, from its first one until its terminal one, with heartbeats while nothing happens.
 * A slow reader delays only itself: the job keeps its events, and this reads them at the client's pace.
 */
export async function* eventLines(job: JobRecord, heartbeatMs = HEARTBEAT_MS): AsyncGenerator<string, void> {
  for (let next = 0; ;) {
    while (next < job.events.length) {
      const event = job.events[next++]
      yield line(event)
      if (isTerminal(event)) return
    }
    const happened = await nextEvent(job, heartbeatMs)
    if (!happened) yield line({ type: 'heartbeat', time: Date.now() })
  }
}

function line(event: JobEvent): string {
  return `${JSON.stringify(event)}\n`
}

/** Waits for the job's next event; false if there is none in time. */
function nextEvent(job: JobRecord, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (happened: boolean): void => {
      unsubscribe()
      clearTimeout(timer)
      resolve(happened)
    }
    const timer = setTimeout(() => settle(false), timeoutMs)
    const unsubscribe = job.subscribe(() => settle(true))
  })
}
