import type { Instance } from 'ink'
import type { ReactElement } from 'react'
import { writeLine } from './progress-lines.js'

/** A view on stderr that follows a value. */
export interface LiveView<View> {
  update(next: (view: View) => View): void
  /** Takes it off the terminal. Notes of a value that was never shown are written as lines. */
  close(): void
}

/** Loading Ink takes longer than a short job; it is loaded for those that take this long. */
const LIVE_VIEW_AFTER_MS = 300

/** @param load loads what draws a value, with Ink */
export function createLiveView<View extends { readonly notes: readonly string[] }>(
  initial: View,
  load: () => Promise<(view: View) => ReactElement>,
): LiveView<View> {
  let view = initial
  let shown: Instance | undefined
  let closed = false
  let draw: (() => void) | undefined
  const timer = setTimeout(() => void open(), LIVE_VIEW_AFTER_MS)

  async function open(): Promise<void> {
    const [elementOf, { render }] = await Promise.all([load(), import('ink')])
    if (closed) return
    // On stderr, so that stdout stays free for results.
    const options = { stdout: process.stderr, exitOnCtrlC: false, patchConsole: false }
    const instance = render(elementOf(view), options)
    shown = instance
    draw = () => instance.rerender(elementOf(view))
  }

  return {
    update(next) {
      view = next(view)
      draw?.()
    },
    close() {
      if (closed) return
      closed = true
      clearTimeout(timer)
      if (!shown) return view.notes.forEach(writeLine)
      shown.clear()
      shown.unmount()
    },
  }
}
