import type { SimulationResult } from './model.js'

/** What one job did, as far as it can be summed up; measured jobs have the same. */
export interface ServedJob {
  readonly arrivalMs: number
  readonly startedMs: number
  readonly finishedMs: number
  /** Lost to loading. */
  readonly loadingMs: number
}

export interface Percentiles {
  readonly mean: number
  readonly p50: number
  readonly p95: number
  readonly p99: number
}

export interface ServingSummary {
  /** From arrival to the end. */
  readonly latencyMs: Percentiles
  /** From the moment on at which a device took the job. */
  readonly serviceMs: Percentiles
  /** From the first arrival to the last end. */
  readonly jobsPerMinute: number
  /** The mean of a job. */
  readonly loadingMs: number
  /** Of all service time. */
  readonly loadingShare: number
}

/** @throws Error without jobs */
export function summarizeJobs(jobs: readonly ServedJob[]): ServingSummary {
  if (jobs.length === 0) throw new Error('There are no jobs to summarize.')
  const service = jobs.map(({ startedMs, finishedMs }) => finishedMs - startedMs)
  const loading = jobs.reduce((sum, { loadingMs }) => sum + loadingMs, 0)
  const first = jobs.reduce((least, { arrivalMs }) => Math.min(least, arrivalMs), Infinity)
  const last = jobs.reduce((most, { finishedMs }) => Math.max(most, finishedMs), 0)
  return {
    latencyMs: percentiles(jobs.map(({ arrivalMs, finishedMs }) => finishedMs - arrivalMs)),
    serviceMs: percentiles(service),
    jobsPerMinute: (60_000 * jobs.length) / (last - first),
    loadingMs: loading / jobs.length,
    loadingShare: loading / service.reduce((sum, ms) => sum + ms, 0),
  }
}

/** By nearest rank: each is one of the values. */
export function percentiles(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return { mean, p50: at(0.5), p95: at(0.95), p99: at(0.99) }
}

/** The share of the time until the last job's end in which each device computed. */
export function utilisation({ devices, endMs }: SimulationResult): Record<string, number> {
  return Object.fromEntries(devices.map(({ name, busyMs }) => [name, busyMs / endMs]))
}

/** The share of uses that found what they needed; 1 if there were none. */
export function hitShare({ hits, misses }: { readonly hits: number; readonly misses: number }): number {
  return hits + misses === 0 ? 1 : hits / (hits + misses)
}
