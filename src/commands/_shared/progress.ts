import type { Instance } from 'ink'
import type { JobEvent } from '../../daemon/protocol/event.js'
import { describeAdapters, describeNote, INITIAL_VIEW, reduceView } from '../_ui/job-view.js'

/** Shows a person how a job goes, on stderr. */
export interface Progress {
  /** Whether previews of the image are shown, and should be asked for. */
  readonly previews: boolean
  note(sentence: string): void
  event(event: JobEvent): void
  /** Leaves the terminal as it should stay. */
  close(): void
}

/** A live view where a person looks at a terminal, else plain lines, else nothing. */
export function createProgress({ quiet }: { readonly quiet: boolean }): Progress {
  if (quiet) return { previews: false, note: () => undefined, event: () => undefined, close: () => undefined }
  return isInteractiveTerminal() ? liveProgress() : lineProgress()
}

/** Whether a person looks at stderr and wants it to move. */
export function isInteractiveTerminal(): boolean {
  const { CI, NO_COLOR, TERM } = process.env
  return process.stderr.isTTY && !CI && !NO_COLOR && TERM !== 'dumb'
}

function writeLine(text: string): void {
  process.stderr.write(`${text}\n`)
}

const SECONDS_BETWEEN_LINES = 2

/** Few lines: what a log of a script should hold. */
function lineProgress(): Progress {
  let lastStepLine = performance.now()
  return {
    previews: false,
    note: writeLine,
    close: () => undefined,
    event(event) {
      if (event.type === 'warning' || event.type === 'worker-restarted') writeLine(`Note: ${describeNote(event)}`)
      if (event.type === 'accepted' && event.queuePosition > 0) writeLine(`Waiting for ${event.queuePosition} jobs`)
      if (event.type === 'adapters-applied') writeLine(`LoRA ${describeAdapters(event)}`)
      if (event.type !== 'step') return
      const due = performance.now() - lastStepLine > SECONDS_BETWEEN_LINES * 1000
      if (!due && event.step !== event.total) return
      lastStepLine = performance.now()
      writeLine(`Step ${event.step}/${event.total} (${(event.elapsedMs / 1000).toFixed(2)} s/step)`)
    },
  }
}

/** Loading Ink takes longer than a short job; it is loaded for those that take this long. */
const LIVE_VIEW_AFTER_MS = 300

function liveProgress(): Progress {
  let view = INITIAL_VIEW
  let shown: Instance | undefined
  let closed = false
  let draw: ((next: typeof view) => void) | undefined
  const timer = setTimeout(() => void open(), LIVE_VIEW_AFTER_MS)

  async function open(): Promise<void> {
    const { GenerateView, renderGenerateView } = await import('../_ui/generate-view.js')
    const { createElement } = await import('react')
    if (closed) return
    const instance = renderGenerateView(view)
    shown = instance
    draw = (next) => instance.rerender(createElement(GenerateView, { view: next }))
  }

  return {
    previews: true,
    note: (sentence) => (view = { ...view, notes: [...view.notes, sentence] }),
    event(event) {
      view = reduceView(view, event)
      draw?.(view)
    },
    close() {
      closed = true
      clearTimeout(timer)
      if (shown) {
        shown.clear()
        shown.unmount()
      } else view.notes.forEach(writeLine)
    },
  }
}
