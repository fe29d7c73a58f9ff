import type { JobEvent } from '../../daemon/protocol/event.js'
import type { Job } from '../../daemon/protocol/job.js'
import { beginJob, endJob, initialView, jobEvent } from '../_ui/several-model.js'
import { createLiveView } from './live-view.js'
import { isInteractiveTerminal } from './progress.js'
import { createEventLines, writeLine } from './progress-lines.js'

/** Shows a person how many jobs go, on stderr. Each is known by the number of its line. */
export interface SeveralProgress {
  note(sentence: string): void
  job(line: number, job: Job): void
  event(line: number, event: JobEvent): void
  /** The job's end, or that there will be none. */
  end(line: number, failed: boolean): void
  /** Leaves the terminal as it should stay. */
  close(): void
}

interface SeveralOptions {
  readonly quiet: boolean
  /** How many jobs there will be. */
  readonly total: number
}

/** A live view where a person looks at a terminal, else plain lines, else nothing. */
export function createSeveralProgress({ quiet, total }: SeveralOptions): SeveralProgress {
  const nothing = (): void => undefined
  if (quiet) return { note: nothing, job: nothing, event: nothing, end: nothing, close: nothing }
  return isInteractiveTerminal() ? liveProgress(total) : lineProgress()
}

function lineProgress(): SeveralProgress {
  const lines = new Map<number, (event: JobEvent) => void>()
  return {
    note: writeLine,
    job: (line) => lines.set(line, createEventLines(`Line ${line}: `)),
    event(line, event) {
      // Where many jobs are submitted at once, that they wait says nothing.
      if (event.type !== 'accepted') lines.get(line)?.(event)
    },
    end: (line) => lines.delete(line),
    close: () => undefined,
  }
}

function liveProgress(total: number): SeveralProgress {
  const shown = createLiveView(initialView(total), async () => {
    const [{ SeveralView }, { createElement }] = await Promise.all([import('../_ui/several-view.js'), import('react')])
    return (view) => createElement(SeveralView, { view })
  })
  return {
    note: (sentence) => shown.update((view) => ({ ...view, notes: [...view.notes, sentence] })),
    job: (line, { request }) => shown.update((view) => beginJob(view, line, request)),
    event: (line, event) => shown.update((view) => jobEvent(view, line, event)),
    end: (line, failed) => shown.update((view) => endJob(view, line, failed)),
    close: () => shown.close(),
  }
}
