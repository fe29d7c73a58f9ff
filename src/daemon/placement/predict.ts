/**
 * How long a step takes on some devices, from the measured times of its stages. The model is that of passes/pass-session.ts:
 * a base device computes its own ControlNets, then the UNet's encoder; ControlNets of other devices run beside both; the
 * decoder waits for all of them. Of two halves the slower one counts.
 */

/** Times of the stages of one pass, in milliseconds. */
export interface StageTimes {
  readonly encoderMs: number
  readonly decoderMs: number
  /** By ControlNet of the job. */
  readonly controlNetMs: readonly number[]
}

/** All rows of the batch, or the larger half of them. */
export type Share = 'full' | 'half'

/** What was measured, by the devices' names; undefined where it is not known. */
export interface StageCosts {
  /** All rows on a device, while the others do nothing. */
  readonly whole: (device: string) => StageTimes | undefined
  /** Half of the rows on a device, while another one computes as many. */
  readonly half: (device: string, beside: string) => StageTimes | undefined
  /** A message from one device's worker to another's and the answer, in milliseconds. */
  readonly messageMs: (from: string, to: string) => number | undefined
}

/** Who computes what, by the devices' names. */
export interface Candidate {
  readonly base: string
  /** Computes half of the rows. */
  readonly second?: string
  /** The device of each ControlNet for the base's rows; the base itself where it computes them. */
  readonly controlNets: readonly string[]
  /** Likewise for the second device's rows. */
  readonly secondControlNets: readonly string[]
}

/** A candidate with the time of its step. */
export interface PredictedCandidate {
  readonly candidate: Candidate
  /** Undefined where a stage was not measured. */
  readonly stepMs: number | undefined
}

/** What one device does for the rows of one base device. */
interface Part {
  readonly base: string
  readonly controlNets: readonly string[]
}

/**
 * The time of a step in which all ControlNets take part, in milliseconds.
 * @returns undefined where something was not measured
 */
export function predictStepMs(candidate: Candidate, costs: StageCosts): number | undefined {
  const parts = partsOf(candidate)
  const timesOf = (device: string): StageTimes | undefined => timesIn(candidate, device, costs)
  const busy = controlNetTimes(parts, timesOf)
  if (!busy) return undefined
  const partTimes = parts.map((part) => partMs(part, { busy, timesOf, costs, loop: candidate.base }))
  // A maximum with NaN is NaN.
  const slowest = Math.max(...partTimes.map((ms) => ms ?? NaN))
  return Number.isNaN(slowest) ? undefined : slowest
}

function partsOf({ base, second, controlNets, secondControlNets }: Candidate): Part[] {
  const first = { base, controlNets }
  return second === undefined ? [first] : [first, { base: second, controlNets: secondControlNets }]
}

/** A device's times in a candidate: halves are computed beside each other, also those of other devices' ControlNets. */
function timesIn({ base, second }: Candidate, device: string, costs: StageCosts): StageTimes | undefined {
  if (second === undefined) return costs.whole(device)
  return costs.half(device, device === base ? second : base)
}

interface PartContext {
  /** How long each device computes ControlNets. */
  readonly busy: ReadonlyMap<string, number>
  readonly timesOf: (device: string) => StageTimes | undefined
  readonly costs: Pick<StageCosts, 'messageMs'>
  /** The device that runs the loop. */
  readonly loop: string
}

function partMs({ base, controlNets }: Part, { busy, timesOf, costs, loop }: PartContext): number | undefined {
  const own = timesOf(base)
  if (!own) return undefined
  const residuals = controlNets
    .filter((device) => device !== base)
    .map((device) => (busy.get(device) ?? 0) + (costs.messageMs(base, device) ?? NaN))
  const encoded = (busy.get(base) ?? 0) + own.encoderMs
  const asked = base === loop ? 0 : (costs.messageMs(loop, base) ?? NaN)
  return Math.max(encoded, ...residuals) + own.decoderMs + asked
}

/** How long each device computes ControlNets in a step: one after the other, also those of two halves that share it. */
function controlNetTimes(
  parts: readonly Part[],
  timesOf: (device: string) => StageTimes | undefined,
): Map<string, number> | undefined {
  const busy = new Map<string, number>()
  for (const { controlNets } of parts) {
    for (const [index, device] of controlNets.entries()) {
      const ms = timesOf(device)?.controlNetMs[index]
      if (ms === undefined) return undefined
      busy.set(device, (busy.get(device) ?? 0) + ms)
    }
  }
  return busy
}

/** Less than this is the noise of the measurement: it is not worth another device. */
export const WORTHWHILE = 0.03

/**
 * The fastest of the candidates; of those that are as fast, the one with the fewest devices.
 * @returns undefined where there is none, or one was not measured
 */
export function fastest(predicted: readonly PredictedCandidate[]): PredictedCandidate | undefined {
  if (predicted.some(({ stepMs }) => stepMs === undefined)) return undefined
  const ordered = [...predicted].sort((a, b) => devicesOf(a.candidate).size - devicesOf(b.candidate).size)
  let best: PredictedCandidate | undefined
  let bestMs = Infinity
  for (const each of ordered) {
    const stepMs = each.stepMs ?? Infinity
    const sameCount = best !== undefined && devicesOf(best.candidate).size === devicesOf(each.candidate).size
    if (best && stepMs >= bestMs * (sameCount ? 1 : 1 - WORTHWHILE)) continue
    best = each
    bestMs = stepMs
  }
  return best
}

/** All devices that take part. */
export function devicesOf({ base, second, controlNets, secondControlNets }: Candidate): Set<string> {
  const others = second === undefined ? [] : [second, ...secondControlNets]
  return new Set([base, ...controlNets, ...others])
}

/** A candidate as people read it: `cpu:0 with depth, canny on cpu:1`. */
export function describeCandidate(candidate: Candidate, controlNames: readonly string[]): string {
  const { base, second, controlNets, secondControlNets } = candidate
  const own: string[] = []
  const elsewhere: string[] = []
  for (const [index, name] of controlNames.entries()) {
    const devices = [controlNets[index], ...(second === undefined ? [] : [secondControlNets[index]])]
    const isOwn = devices.every((device, part) => device === [base, second][part])
    if (isOwn) own.push(name)
    else elsewhere.push(`${name} on ${[...new Set(devices)].join(' and ')}`)
  }
  const withOwn = own.length === 0 ? '' : ` with ${own.join(', ')}`
  const main =
    second === undefined ? `${base}${withOwn}` : `halves on ${base} and ${second}${withOwn && `, each${withOwn}`}`
  return [main, ...elsewhere].join(', ')
}
