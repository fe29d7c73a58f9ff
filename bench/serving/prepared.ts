import { readFileSync } from 'node:fs'
import type { Prepared } from '../../src/daemon/workers/job-crew.js'
import type { MeasuredJob } from './driver.js'

/** What workers made ready for jobs, by job, as the daemon's log tells. */
export function readPrepared(logFile: string): Map<string, Prepared[]> {
  const byJob = new Map<string, Prepared[]>()
  for (const line of readFileSync(logFile, 'utf8').split('\n')) {
    if (!line.startsWith('{') || !line.includes('"prepared"')) continue
    const { job, prepared } = JSON.parse(line) as { job?: string; prepared?: Prepared }
    if (job !== undefined && prepared) byJob.set(job, [...(byJob.get(job) ?? []), prepared])
  }
  return byJob
}

/** Of the times at which workers were asked for something, how often it was there. */
export interface MeasuredHits {
  readonly hits: number
  readonly misses: number
}

/** Hits of the caches of ControlNets and of whole sets of LoRAs, over some jobs. */
export function countHits(
  jobs: readonly MeasuredJob[],
  prepared: ReadonlyMap<string, readonly Prepared[]>,
): Record<Prepared['kind'], MeasuredHits> {
  const all = jobs.flatMap(({ id }) => prepared.get(id) ?? [])
  const count = (kind: Prepared['kind']): MeasuredHits => {
    const cached = all.flatMap((each) => (each.kind === kind ? [each.cached] : []))
    const hits = cached.filter((each) => each).length
    return { hits, misses: cached.length - hits }
  }
  return { controlnet: count('controlnet'), lora: count('lora') }
}
