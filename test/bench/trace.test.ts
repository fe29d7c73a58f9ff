import { describe, expect, it } from 'vitest'
import { generateTrace, type TraceRequest } from '../../bench/trace/generate-trace.js'
import { popularityShares } from '../../bench/trace/popularity.js'
import { createRandom, createWeightedDraw, drawExponential } from '../../bench/trace/random.js'
import { services, type ServiceName } from '../../bench/trace/services.js'
import { countShares, coverageOf, lruLoadsPerRequest, measuredShares } from '../../bench/trace/statistics.js'

const REQUESTS = 100_000
const traces: Record<ServiceName, TraceRequest[]> = { A: trace('A', REQUESTS), B: trace('B', REQUESTS) }

function trace(service: ServiceName, requests: number, seed = 1): TraceRequest[] {
  return generateTrace({ service: services[service], requests, requestsPerMinute: 30, seed })
}

const usesOf = (service: ServiceName, kind: 'controlNets' | 'loras') => traces[service].map((request) => request[kind])
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

describe('the popularity of add-ons', () => {
  it('goes through the given points and never rises', () => {
    for (const { controlNets, loras } of Object.values(services)) {
      for (const { popularity } of [controlNets, loras]) {
        const shares = popularityShares(popularity)
        for (const { ranks, share } of popularity.coverage) expect(sum(shares.slice(0, ranks))).toBeCloseTo(share, 9)
        shares.slice(1).forEach((share, index) => expect(share).toBeLessThanOrEqual(shares[index] * (1 + 1e-9)))
      }
    }
  })

  it('is uniform where the head ends as high as its mean', () => {
    const shares = popularityShares({ coverage: [{ ranks: 4, share: 1 }], headEnd: 0.25 })
    expect(shares.map((share) => share.toFixed(9))).toEqual(Array(4).fill('0.250000000'))
  })

  it('is refused where the points contradict each other', () => {
    const coverage = [
      { ranks: 2, share: 0.2 },
      { ranks: 4, share: 1 },
    ] as const
    expect(() => popularityShares({ coverage: [...coverage], headEnd: 0.1 })).toThrow(/contradict/)
  })
})

describe('a synthetic trace', () => {
  it('is the same for the same seed, and another one for another', () => {
    expect(trace('B', 50, 3)).toEqual(trace('B', 50, 3))
    expect(trace('B', 50, 4)).not.toEqual(trace('B', 50, 3))
  })

  it('has the same add-ons at another rate', () => {
    const options = { service: services.A, requests: 200, seed: 5 }
    const [slow, fast] = [1, 100].map((requestsPerMinute) => generateTrace({ ...options, requestsPerMinute }))
    expect(slow.map(({ loras }) => loras)).toEqual(fast.map(({ loras }) => loras))
    expect(slow[199].arrivalMs / fast[199].arrivalMs).toBeCloseTo(100, 6)
  })

  it('arrives as a Poisson process: mean and deviation of the gaps are 1 / rate within 1.5 %', () => {
    const times = traces.A.map(({ arrivalMs }) => arrivalMs)
    const gaps = times.map((time, index) => time - (times[index - 1] ?? 0))
    const mean = sum(gaps) / gaps.length
    const deviation = Math.sqrt(sum(gaps.map((gap) => (gap - mean) ** 2)) / gaps.length)
    expect(Math.abs(mean / 2000 - 1)).toBeLessThan(0.015)
    expect(Math.abs(deviation / 2000 - 1)).toBeLessThan(0.015)
  })

  it.each([
    ['A', 'controlNets', [0, 0.305, 0.695]],
    ['A', 'loras', [0.002, 0.088, 0.91]],
    ['B', 'controlNets', [0.019, 0.251, 0.699, 0.031]],
    ['B', 'loras', [0.072, 0.736, 0.192]],
  ] as const)("has the paper's numbers of add-ons per request, within 0.02: %s, %s", (service, kind, expected) => {
    const shares = countShares(usesOf(service, kind))
    expect(shares).toHaveLength(expected.length)
    shares.forEach((share, index) => expect(Math.abs(share - expected[index])).toBeLessThan(0.02))
  })

  it.each([
    ['A', 'controlNets', 5, 0.98],
    ['B', 'controlNets', 8, 0.95],
    ['A', 'loras', 100, 0.45],
    ['A', 'loras', 1000, 0.74],
    ['B', 'loras', 13, 0.52],
    ['B', 'loras', 1400, 0.9],
  ] as const)("has the paper's coverage, within 0.015: %s, %s, top %d", (service, kind, ranks, share) => {
    expect(Math.abs(coverageOf(usesOf(service, kind), ranks) - share)).toBeLessThan(0.015)
  })

  it.each(['A', 'B'] as const)('has 99.8 %% of the LoRAs below 1 %% of the uses: %s', (service) => {
    const catalogue = services[service].loras.popularity.coverage.at(-1)!.ranks
    const above = measuredShares(usesOf(service, 'loras')).filter((share) => share >= 0.01).length
    expect(((1 - above / catalogue) * 100).toFixed(1)).toBe('99.8')
  })

  it.each([
    ['A', 'controlNets', [1.53, 0.012, 0.008], [0.1, 0.005, 0.006]],
    ['A', 'loras', [1.88, 1.37, 1.24], [0.04, 0.04, 0.04]],
    ['B', 'controlNets', [1.59, 0.44, 0.01], [0.04, 0.04, 0.003]],
    ['B', 'loras', [0.89, 0.65, 0.54], [0.04, 0.04, 0.04]],
  ] as const)(
    "loads from LRU caches of 1, 5 and 10 slots as the paper's: %s, %s",
    (service, kind, loads, tolerances) => {
      const uses = usesOf(service, kind)
      const measured = [1, 5, 10].map((slots) => lruLoadsPerRequest(uses, slots))
      measured.forEach((value, index) => expect(Math.abs(value - loads[index])).toBeLessThan(tolerances[index]))
    },
  )
})

describe('the statistics of uses', () => {
  const uses = [[1, 2], [1], [], [3, 1]]

  it('count add-ons per request and the share of each', () => {
    expect(countShares(uses)).toEqual([0.25, 0.25, 0.5])
    expect(measuredShares(uses)).toEqual([0.6, 0.2, 0.2])
    expect(coverageOf(uses, 2)).toBeCloseTo(0.8)
  })

  it('count the loads of an LRU cache by hand', () => {
    // One slot: 1, 2, 1, 3 and 1 again. Two slots: 1, 2, then 3 in the place of 2.
    expect(lruLoadsPerRequest(uses, 1)).toBe(5 / 4)
    expect(lruLoadsPerRequest(uses, 2)).toBe(3 / 4)
    expect(lruLoadsPerRequest(uses, 0)).toBe(5 / 4)
  })
})

describe('random draws', () => {
  it('follow their weights and their mean', () => {
    const random = createRandom(9)
    const draw = createWeightedDraw([1, 0, 3])
    const counts = [0, 0, 0]
    for (let i = 0; i < 20_000; i++) counts[draw(random)]++
    expect(counts[1]).toBe(0)
    expect(Math.abs(counts[2] / 20_000 - 0.75)).toBeLessThan(0.01)
    const mean = sum(Array.from({ length: 20_000 }, () => drawExponential(random, 5))) / 20_000
    expect(Math.abs(mean / 5 - 1)).toBeLessThan(0.03)
  })
})
