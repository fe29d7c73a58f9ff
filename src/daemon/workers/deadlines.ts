import type { Method } from './messages.js'

/** Longest plausible times, on slow machines too; a worker that takes longer hangs and is replaced. */
const DEADLINES_MS: Readonly<Record<Method, number>> = {
  load: 15 * 60_000,
  unload: 60_000,
  encodePrompt: 10 * 60_000,
  prepareControlNet: 15 * 60_000,
  prepareAdapters: 15 * 60_000,
  settle: 30 * 60_000,
  residents: 60_000,
  measure: 30 * 60_000,
  measureMessage: 30 * 60_000,
  // From step to step.
  denoise: 30 * 60_000,
  decodeLatents: 30 * 60_000,
  encodeImage: 30 * 60_000,
}

/** How long a worker may take for a request, in milliseconds. */
export function deadlineOf(method: Method): number {
  return DEADLINES_MS[method]
}
