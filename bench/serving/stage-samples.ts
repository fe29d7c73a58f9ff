import type { StageTimes } from '../simulator/model.js'
import type { Random } from '../trace/random.js'

/** Measured times of each stage, in milliseconds; a device's share of half the batch is one number. */
export type StageSamples = {
  readonly [Stage in Exclude<keyof StageTimes, 'halfShare'>]: readonly number[]
} & Pick<StageTimes, 'halfShare'>

/** Each stage's mean. */
export function meanTimes(samples: StageSamples): StageTimes {
  return timesOf(samples, (values) => values.reduce((sum, value) => sum + value, 0) / values.length)
}

/**
 * Times that are one of the samples, drawn anew whenever one is read: on a machine whose other programs get in between, two
 * stages side by side take longer than the longer mean, and percentiles are not those of means.
 */
export function drawnTimes(samples: StageSamples, random: Random): StageTimes {
  return timesOf(samples, (values) => values[Math.floor(random() * values.length)])
}

function timesOf({ halfShare, ...samples }: StageSamples, value: (values: readonly number[]) => number): StageTimes {
  const times = { halfShare }
  for (const [stage, values] of Object.entries(samples)) {
    if (values.length === 0) throw new Error(`Nothing was measured of ${stage}.`)
    Object.defineProperty(times, stage, { enumerable: true, get: () => value(values) })
  }
  return times as StageTimes
}
