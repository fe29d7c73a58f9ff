import { isGpu, type DeviceSpec } from '../workers/devices.js'
import type { Candidate } from './predict.js'

/** What a job's devices may be. */
export interface CandidateOptions {
  /** Those that may be its base device. */
  readonly bases: readonly DeviceSpec[]
  /** Those that may compute half of the rows; none where the batch is not to be split. */
  readonly seconds: readonly DeviceSpec[]
  /** The batch is split in every candidate. */
  readonly mustSplit: boolean
  /** How many ControlNets there are. */
  readonly controlNets: number
  /** Those that may run ControlNets of others. */
  readonly services: readonly DeviceSpec[]
  /** A base device may compute ControlNets itself. Where there is no service it does so in any case. */
  readonly coLocated: boolean
  /** Where the ControlNets were asked for, by ControlNet. */
  readonly fixed?: readonly DeviceSpec[]
}

/** More ways than this to share out ControlNets are not all tried. */
const MAX_ASSIGNMENTS = 64

/**
 * The placements that a job can have: with each base device, alone or with each second device; ControlNets beside the UNet
 * or on devices of their own, in each combination; of two halves each with the same services or with its own. Of
 * placements that differ only by which of several equal devices does what, the first one stands for all.
 */
export function listCandidates(options: CandidateOptions): Candidate[] {
  const { bases, seconds, mustSplit } = options
  const all = bases.flatMap((base) => {
    const alone = mustSplit ? [] : placeControlNets(options, base)
    const others = seconds.filter(({ name }) => name !== base.name)
    return [...alone, ...others.flatMap((second) => placeControlNets(options, base, second))]
  })
  return withoutEquals(all, [...bases, ...seconds, ...options.services, ...(options.fixed ?? [])])
}

function placeControlNets(options: CandidateOptions, base: DeviceSpec, second?: DeviceSpec): Candidate[] {
  const { controlNets: count, fixed, coLocated } = options
  const candidate = (first: readonly string[], other: readonly string[] = first): Candidate => {
    // The base stands for whoever computes the rows.
    const own = (devices: readonly string[]) =>
      devices.map((name) => (name === base.name ? (second?.name ?? name) : name))
    return second
      ? { base: base.name, second: second.name, controlNets: first, secondControlNets: own(other) }
      : { base: base.name, controlNets: first, secondControlNets: [] }
  }
  if (fixed) return [candidate(fixed.map(({ name }) => name))]
  const services = options.services
    .map(({ name }) => name)
    .filter((name) => name !== base.name && name !== second?.name)
  const places = coLocated || services.length === 0 ? [base.name, ...services] : services
  const shared = assignments(places, count).map((devices) => candidate(devices))
  if (!second || count === 0) return shared
  const repeat = (name: string): string[] => Array.from({ length: count }, () => name)
  const pairs = services.flatMap((one) => services.flatMap((other) => (one === other ? [] : [[one, other] as const])))
  return [...shared, ...pairs.map(([one, other]) => candidate(repeat(one), repeat(other)))]
}

/** Ways to give `count` ControlNets places: every one, or where that is too many, in turns over the first of them. */
function assignments(places: readonly string[], count: number): string[][] {
  if (places.length ** count > MAX_ASSIGNMENTS) {
    return places.flatMap((place, from) => {
      const turns = places.slice(0, from + 1)
      const inTurns = Array.from({ length: count }, (_, index) => turns[index % turns.length])
      return from === 0 ? [inTurns] : [inTurns, inTurns.map(() => place)]
    })
  }
  let ways: string[][] = [[]]
  for (let index = 0; index < count; index++) ways = ways.flatMap((way) => places.map((place) => [...way, place]))
  return ways
}

/**
 * Devices of one kind are taken to be equally fast: CPUs with as many threads, and GPUs of one model, used in the same way. A
 * GPU of which nothing is known is a kind of its own.
 */
export function kindOf({ name, provider, threads, card }: DeviceSpec): string {
  if (!isGpu(name)) return `${provider}=${threads}`
  return card ? `${provider} ${card.name}` : name
}

/** Of those that differ only by which of several equal devices does what, the first one. */
function withoutEquals(candidates: readonly Candidate[], devices: readonly DeviceSpec[]): Candidate[] {
  const kinds = new Map(devices.map((device) => [device.name, kindOf(device)]))
  const seen = new Set<string>()
  return candidates.filter(({ base, second, controlNets, secondControlNets }) => {
    const order: string[] = []
    const places = [base, second, ...controlNets, '|', ...secondControlNets].map((name) => {
      if (name === undefined || name === '|') return name
      if (!order.includes(name)) order.push(name)
      return `${order.indexOf(name)} ${kinds.get(name)}`
    })
    const shape = JSON.stringify(places)
    if (seen.has(shape)) return false
    seen.add(shape)
    return true
  })
}
