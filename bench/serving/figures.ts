import { figure, median, type Figure } from '../harness.js'
import type { Plot } from '../plot.js'
import type { ServingSummary } from '../simulator/summary.js'
import { latencyOf, type MeasuredJob } from './driver.js'

/** The bars of one plot. */
export interface LatencyBars<Label extends string> {
  readonly title: string
  /** Milliseconds by the name of the series. */
  readonly latencies: Readonly<Record<string, Readonly<Record<Label, number>>>>
}

/** Plots of a bar for each series over each label, in seconds and on one scale. */
export function latencyBars<Label extends string>(
  labels: readonly Label[],
  plots: readonly LatencyBars<Label>[],
): Plot[] {
  const drawn = plots.map(({ title, latencies }) => ({
    title,
    series: Object.entries(latencies).map(([name, row]) => ({
      name,
      values: labels.map((label) => row[label] / 1000),
    })),
  }))
  const highest = Math.max(...drawn.flatMap(({ series }) => series.flatMap(({ values }) => values)))
  return drawn.map((each) => ({
    ...each,
    ...{ kind: 'bars', yLabel: 'latency (s)', yMin: 0, yMax: 1.05 * highest, labels },
  }))
}

/** Mean latencies in milliseconds over numbers of devices, which are powers of two. */
export function devicesPlot<Series extends string>(
  title: string,
  devices: readonly number[],
  latencies: Readonly<Record<Series, readonly number[]>>,
): Plot {
  const rows = Object.entries(latencies) as [Series, readonly number[]][]
  const series = rows.map(([name, row]) => ({
    name,
    points: row.map((ms, index) => ({ x: Math.log2(devices[index]), y: ms / 1000 })),
  }))
  const highest = Math.max(...series.flatMap(({ points }) => points.map(({ y }) => y)))
  return {
    ...{ kind: 'lines', title, series, xLabel: 'log2 of the number of devices' },
    ...{ yLabel: 'mean latency (s)', yMin: 0, yMax: 1.05 * highest },
  }
}

/** What a replay reports of one strategy. */
export function servingFigures(
  name: string,
  measured: ServingSummary,
  predicted: ServingSummary,
): Record<string, Figure> {
  const { latencyMs } = measured
  return {
    [`${name}: mean latency`]: figure([latencyMs.mean], 'ms'),
    [`${name}: - median`]: figure([latencyMs.p50], 'ms'),
    [`${name}: - 90th percentile`]: figure([latencyMs.p90], 'ms'),
    [`${name}: - 99th percentile`]: figure([latencyMs.p99], 'ms'),
    [`${name}: jobs per minute`]: figure([measured.jobsPerMinute], ''),
    [`${name}: lost to loading per job`]: figure([measured.loadingMs], 'ms'),
    [`${name}: lost to loading, of the service`]: figure([measured.loadingShare], 'share'),
    [`${name}: predicted mean latency`]: figure([predicted.latencyMs.mean], 'ms'),
    [`${name}: predicted mean latency, of measured`]: figure([predicted.latencyMs.mean / latencyMs.mean], 'ratio'),
    [`${name}: predicted loss to loading per job`]: figure([predicted.loadingMs], 'ms'),
  }
}

/**
 * What a job lost to loading and patching: its time beyond steps at its own usual pace and beyond what a job without
 * add-ons needs around them.
 */
export function lostMs(job: MeasuredJob, aroundStepsMs: number): number {
  return Math.max(0, latencyOf(job) - job.stepMs.length * median(job.stepMs) - aroundStepsMs)
}
