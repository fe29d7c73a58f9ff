import { setTimeout as sleep } from 'node:timers/promises'
import type { ServedJob } from '../simulator/summary.js'
import type { TraceRequest } from '../trace/generate-trace.js'
import type { MeasuredJob } from './driver.js'

/** What is known of a replayed request. Times are milliseconds since the replay began. */
export type ReplayedJob = Omit<ServedJob, 'loadingMs'> & { readonly job: MeasuredJob }

/**
 * Lets requests arrive when the trace says. One queue holds them until one of the base devices is free, as the daemon's own
 * does, which could not be told a device before it is known which one is free.
 * @param run runs one request on a base device
 */
export async function replay(
  trace: readonly TraceRequest[],
  bases: readonly string[],
  run: (request: TraceRequest, base: string) => Promise<MeasuredJob>,
): Promise<ReplayedJob[]> {
  const began = performance.now()
  const now = (): number => performance.now() - began
  const results: ReplayedJob[] = []
  let next = 0
  const work = async (base: string): Promise<void> => {
    while (next < trace.length) {
      const index = next++
      const request = trace[index]
      const early = request.arrivalMs - now()
      if (early > 0) await sleep(early)
      const startedMs = now()
      const job = await run(request, base)
      results[index] = { arrivalMs: request.arrivalMs, startedMs, finishedMs: now(), job }
    }
  }
  await Promise.all(bases.map(work))
  return results
}
