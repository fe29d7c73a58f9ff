import type { JobEvent } from '../../src/daemon/protocol/event.js'
import type { MeasuredJob, MeasuredStep } from './driver.js'

/**
 * Reads a job's times from its events.
 * @param submittedMs when the client asked for it, since the daemon knows only when it heard of it
 * @throws Error with the daemon's words if the job did not complete
 */
export async function readMeasuredJob(
  { id, submittedMs }: Pick<MeasuredJob, 'id' | 'submittedMs'>,
  events: AsyncIterable<JobEvent>,
): Promise<MeasuredJob> {
  const steps: MeasuredStep[] = []
  let decodingMs = NaN
  let loraStep: number | undefined
  for await (const event of events) {
    if (event.type === 'step') steps.push({ elapsedMs: event.elapsedMs, devices: event.devices ?? [] })
    if (event.type === 'phase' && event.phase === 'decoding') decodingMs = event.time
    if (event.type === 'adapters-applied') loraStep = event.step
    // A step that was lost with its worker is part of the figure, but nobody should take it for the usual one.
    if (event.type === 'worker-restarted') throw new Error(`A worker died during the measurement: ${event.reason}`)
    if (event.type === 'completed') {
      const times = { submittedMs, decodingMs, finishedMs: event.time }
      return { id, ...times, steps, ...(loraStep !== undefined && { loraStep }) }
    }
    if (event.type === 'failed') throw new Error(`The job failed: ${event.error.message}`)
    if (event.type === 'cancelled') throw new Error('The job was cancelled.')
  }
  throw new Error('The events of the job ended early.')
}
