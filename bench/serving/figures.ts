import { figure, type Figure, type Goal } from '../harness.js'
import type { Plot } from '../plot.js'
import type { CacheCounts } from '../simulator/cache.js'
import { hitShare, type ServingSummary } from '../simulator/summary.js'
import { mean, type Calibration } from './calibrate.js'
import { meanTimes } from './stage-samples.js'
import type { ServedPrediction } from './trace-prediction.js'

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

/** What a replay measured, and what the simulator expects of it. */
export interface ServingReport {
  readonly measured: ServingSummary
  readonly hits: Record<'controlnet' | 'lora', CacheCounts>
  /** From which step on LoRAs were in effect, of jobs that have some. */
  readonly loraSteps: readonly number[]
  readonly predicted: ServedPrediction
}

/** The goal of the simulator: how far its mean may be from the measured one. */
const TOLERANCE = '<= 0.2'

/** What a replay reports of one strategy. */
export function servingFigures(name: string, report: ServingReport): Record<string, Figure> {
  const { measured, hits, loraSteps, predicted } = report
  const { latencyMs, serviceMs } = measured
  const { summary } = predicted
  return {
    [`${name}: mean latency`]: figure([latencyMs.mean], 'ms'),
    [`${name}: - median`]: figure([latencyMs.p50], 'ms'),
    [`${name}: - 95th percentile`]: figure([latencyMs.p95], 'ms'),
    [`${name}: - 99th percentile`]: figure([latencyMs.p99], 'ms'),
    [`${name}: mean time of service`]: figure([serviceMs.mean], 'ms'),
    [`${name}: ControlNets found`]: figure([hitShare(hits.controlnet)], 'share'),
    [`${name}: ControlNets found, predicted`]: figure([hitShare(predicted.controlNets)], 'share'),
    [`${name}: sets of LoRAs found`]: figure([hitShare(hits.lora)], 'share'),
    [`${name}: sets of LoRAs found, predicted`]: figure([hitShare(predicted.loraSets)], 'share'),
    [`${name}: first step with LoRAs`]: figure([mean(loraSteps)], ''),
    [`${name}: lost to loading per job`]: figure([measured.loadingMs], 'ms'),
    [`${name}: lost to loading per job, predicted`]: figure([summary.loadingMs], 'ms'),
    [`${name}: lost to loading, of the service`]: figure([measured.loadingShare], 'share'),
    [`${name}: predicted mean latency`]: figure([summary.latencyMs.mean], 'ms'),
    [`${name}: predicted median`]: figure([summary.latencyMs.p50], 'ms'),
    [`${name}: predicted 95th percentile`]: figure([summary.latencyMs.p95], 'ms'),
    [`${name}: predicted mean time of service`]: figure([summary.serviceMs.mean], 'ms'),
    [`${name}: prediction error, mean`]: errorFigure(summary.latencyMs.mean, latencyMs.mean, TOLERANCE),
    [`${name}: prediction error, median`]: errorFigure(summary.latencyMs.p50, latencyMs.p50),
    [`${name}: prediction error, 95th percentile`]: errorFigure(summary.latencyMs.p95, latencyMs.p95),
    [`${name}: prediction error, time of service`]: errorFigure(summary.serviceMs.mean, serviceMs.mean, TOLERANCE),
  }
}

/** By which share of what was measured a prediction is off. */
function errorFigure(predicted: number, measured: number, goal?: Goal): Figure {
  return figure([predictionError(predicted, measured)], 'share', goal)
}

export function predictionError(predicted: number, measured: number): number {
  return Math.abs(predicted / measured - 1)
}

/** What the simulator was fed with, over the whole run. */
export function calibrationFigures({ samples, sharing }: Calibration): Record<string, Figure> {
  const { halfShare, ...stages } = samples
  const times = meanTimes(samples)
  const entries = (Object.keys(stages) as (keyof typeof stages)[]).map((stage) => {
    return [`stage ${stage}`, { ...figure(samples[stage], 'ms'), value: times[stage] }] as const
  })
  return {
    ...Object.fromEntries(entries),
    'one half, of both': figure([halfShare], 'share'),
    'a device beside a busy one, of one alone': figure([sharing.contention], 'ratio'),
  }
}
