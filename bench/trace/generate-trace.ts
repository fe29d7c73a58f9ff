import { popularityShares } from './popularity.js'
import { createRandom, createWeightedDraw, drawExponential, type Random } from './random.js'
import type { AddonFacts, ServiceFacts } from './services.js'

/** One request of a workload. Add-ons are named by their rank in popularity, from 0. */
export interface TraceRequest {
  readonly arrivalMs: number
  /** Distinct. */
  readonly controlNets: readonly number[]
  /** Distinct. */
  readonly loras: readonly number[]
}

export interface TraceOptions {
  readonly service: ServiceFacts
  readonly requests: number
  /** Of the Poisson process of arrivals. */
  readonly requestsPerMinute: number
  readonly seed: number
}

/** A synthetic workload, in order of arrival; the same options give the same one on every machine. */
export function generateTrace({ service, requests, requestsPerMinute, seed }: TraceOptions): TraceRequest[] {
  // A generator for each part, so that another rate leaves the add-ons as they are.
  const random = createRandom(seed)
  const arrivals = createRandom(random() * 2 ** 32)
  const nextControlNets = createAddonDraw(service.controlNets, createRandom(random() * 2 ** 32))
  const nextLoras = createAddonDraw(service.loras, createRandom(random() * 2 ** 32))
  let arrivalMs = 0
  return Array.from({ length: requests }, () => {
    arrivalMs += drawExponential(arrivals, 60_000 / requestsPerMinute)
    return { arrivalMs, controlNets: nextControlNets(), loras: nextLoras() }
  })
}

/** Draws the add-ons of one request after the other. */
function createAddonDraw({ counts, popularity, locality }: AddonFacts, random: Random): () => readonly number[] {
  const drawCount = createWeightedDraw(counts)
  const drawItem = createWeightedDraw(popularityShares(popularity))
  const recent: (readonly number[])[] = []
  return () => {
    const repeats = recent.length > 0 && random() < locality.repeat
    const addons = repeats
      ? recent[Math.floor(random() * recent.length)]
      : drawDistinct(drawCount(random), () => drawItem(random))
    recent.push(addons)
    if (recent.length > locality.window) recent.shift()
    return addons
  }
}

function drawDistinct(count: number, draw: () => number): number[] {
  const items = new Set<number>()
  while (items.size < count) items.add(draw())
  return [...items]
}
