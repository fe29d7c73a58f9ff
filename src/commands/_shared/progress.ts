import type { JobEvent } from '../../daemon/protocol/event.js'
import type { Job } from '../../daemon/protocol/job.js'
import { INITIAL_VIEW, reduceView } from '../_ui/job-view.js'
import { createLiveView } from './live-view.js'
import { createEventLines, writeLine } from './progress-lines.js'

/** Shows a person how a job goes, on stderr. */
export interface Progress {
  /** Whether previews of the image are shown, and should be asked for. */
  readonly previews: boolean
  note(sentence: string): void
  /** What the events are about. */
  job(job: Job): void
  event(event: JobEvent): void
  /** Leaves the terminal as it should stay. */
  close(): void
}

/** A live view where a person looks at a terminal, else plain lines, else nothing. */
export function createProgress({ quiet }: { readonly quiet: boolean }): Progress {
  const nothing = (): void => undefined
  if (quiet) return { previews: false, note: nothing, job: nothing, event: nothing, close: nothing }
  return isInteractiveTerminal() ? liveProgress() : lineProgress()
}

/** Whether a person looks at stderr and wants it to move. */
export function isInteractiveTerminal(): boolean {
  const { CI, NO_COLOR, TERM } = process.env
  return process.stderr.isTTY && !CI && !NO_COLOR && TERM !== 'dumb'
}

/** Few lines: what a log of a script should hold. */
function lineProgress(): Progress {
  const lines = createEventLines()
  return { previews: false, note: writeLine, job: () => undefined, event: lines, close: () => undefined }
}

function liveProgress(): Progress {
  const shown = createLiveView(INITIAL_VIEW, async () => {
    const [{ GenerateView }, { createElement }] = await Promise.all([
      import('../_ui/generate-view.js'),
      import('react'),
    ])
    return (view) => createElement(GenerateView, { view })
  })
  return {
    previews: true,
    note: (sentence) => shown.update((view) => ({ ...view, notes: [...view.notes, sentence] })),
    job: ({ request }) => shown.update((view) => ({ ...view, images: request.numImages })),
    event: (event) => shown.update((view) => reduceView(view, event)),
    close: () => shown.close(),
  }
}
