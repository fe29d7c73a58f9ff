import type { JobEvent } from '../../src/daemon/protocol/event.js'
import type { MeasuredJob } from './driver.js'

/**
 * Reads a job's times from its events.
 * @param submittedMs when the client asked for it, since the daemon knows only when it heard of it
 * @throws Error with the daemon's words if the job did not complete
 */
export async function readMeasuredJob(submittedMs: number, events: AsyncIterable<JobEvent>): Promise<MeasuredJob> {
  const stepMs: number[] = []
  let startedMs = submittedMs
  for await (const event of events) {
    if (event.type === 'started') startedMs = event.time
    if (event.type === 'step') stepMs.push(event.elapsedMs)
    // A step that was lost with its worker is part of the figure, but nobody should take it for the usual one.
    if (event.type === 'worker-restarted') throw new Error(`A worker died during the measurement: ${event.reason}`)
    if (event.type === 'completed') return { submittedMs, startedMs, finishedMs: event.time, stepMs }
    if (event.type === 'failed') throw new Error(`The job failed: ${event.error.message}`)
    if (event.type === 'cancelled') throw new Error('The job was cancelled.')
  }
  throw new Error('The events of the job ended early.')
}
