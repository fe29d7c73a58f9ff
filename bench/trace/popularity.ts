/** The `ranks` most popular items have this share of all uses. */
export interface Coverage {
  readonly ranks: number
  readonly share: number
  /** Of the power law that leads here, which may then begin with a drop; without it the curve has none. */
  readonly exponent?: number
}

/** What is known of how unevenly the items of a kind are used. */
export interface PopularityFacts {
  /** Points of the coverage curve, by rising rank; the last one has all items and the share 1. */
  readonly coverage: readonly [Coverage, ...Coverage[]]
  /** The share of the last item of the first point. It decides how steep the head is: its mean if all are alike. */
  readonly headEnd: number
}

const BISECTIONS = 60
const STEEPEST = 12

/**
 * Shares of items by rank that go through the given coverage exactly: a power law between each two points, each with the
 * exponent that the next point asks for and starting where the one before ended, so that no item is more popular than the
 * one before it.
 * @throws Error if the points allow no such curve
 */
export function popularityShares({ coverage, headEnd }: PopularityFacts): number[] {
  const [head, ...rest] = coverage
  const shares = ranks(1, head.ranks)
  const headExponent = solve((exponent) => sum(headEnd, head.ranks, shares, exponent), head.share, 'rising')
  const result = shares.map((rank) => headEnd * (rank / head.ranks) ** -headExponent)
  let previous = head
  for (const point of rest) {
    const segment = ranks(previous.ranks + 1, point.ranks)
    result.push(
      ...segmentShares(result[previous.ranks - 1], previous.ranks, segment, point.share - previous.share, point),
    )
    previous = point
  }
  return result
}

function segmentShares(
  start: number,
  from: number,
  segment: readonly number[],
  share: number,
  { exponent: given }: Coverage,
): number[] {
  const exponent = given ?? solve((each) => sum(start, from, segment, each), share, 'falling')
  // With a solved exponent this is 1 but for rounding.
  const drop = share / sum(start, from, segment, exponent)
  return segment.map((rank) => drop * start * (rank / from) ** -exponent)
}

function sum(start: number, from: number, segment: readonly number[], exponent: number): number {
  return segment.reduce((total, rank) => total + start * (rank / from) ** -exponent, 0)
}

function ranks(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

/** The exponent of 0 to STEEPEST at which a monotonic sum has the wanted value. */
function solve(sumAt: (exponent: number) => number, wanted: number, direction: 'rising' | 'falling'): number {
  const sign = direction === 'rising' ? 1 : -1
  const isBelow = (exponent: number): boolean => sign * (sumAt(exponent) - wanted) < 0
  // A flat curve may miss the wanted sum by rounding alone.
  if (sign * (sumAt(0) - wanted) > 1e-9 || isBelow(STEEPEST)) {
    throw new Error(`No power law has the share ${wanted}; the points of the coverage contradict each other.`)
  }
  let low = 0
  let high = STEEPEST
  for (let i = 0; i < BISECTIONS; i++) {
    const middle = (low + high) / 2
    if (isBelow(middle)) low = middle
    else high = middle
  }
  return (low + high) / 2
}
