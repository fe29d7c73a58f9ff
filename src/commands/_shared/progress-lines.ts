import type { JobEvent } from '../../daemon/protocol/event.js'
import { describeAdapters, describeNote } from '../_ui/job-view.js'

/** A line on stderr. */
export function writeLine(text: string): void {
  process.stderr.write(`${text}\n`)
}

const SECONDS_BETWEEN_LINES = 2

/** Tells of a job in lines. Steps are told now and then. */
export function createEventLines(prefix = ''): (event: JobEvent) => void {
  let lastStepLine = performance.now()
  return (event) => {
    if (event.type === 'warning' || event.type === 'worker-restarted') {
      writeLine(`${prefix}Note: ${describeNote(event)}`)
    }
    if (event.type === 'accepted' && event.queuePosition > 0)
      writeLine(`${prefix}Waiting for ${event.queuePosition} jobs`)
    if (event.type === 'adapters-applied') writeLine(`${prefix}LoRA ${describeAdapters(event)}`)
    if (event.type !== 'step') return
    const due = performance.now() - lastStepLine > SECONDS_BETWEEN_LINES * 1000
    if (!due && event.step !== event.total) return
    lastStepLine = performance.now()
    writeLine(`${prefix}Step ${event.step}/${event.total} (${(event.elapsedMs / 1000).toFixed(2)} s/step)`)
  }
}
