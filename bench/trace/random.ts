/** Uniform numbers from 0 up to, but not including, 1. */
export type Random = () => number

/** A small generator (mulberry32): the same seed gives the same numbers on every machine. */
export function createRandom(seed: number): Random {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The time until the next event of a Poisson process, in the unit of `mean`. */
export function drawExponential(random: Random, mean: number): number {
  return -mean * Math.log(1 - random())
}

/** Draws indices with the given weights, by bisection in their running sums. */
export function createWeightedDraw(weights: readonly number[]): (random: Random) => number {
  let total = 0
  const sums = weights.map((weight) => (total += weight))
  return (random) => {
    const target = random() * total
    let low = 0
    let high = sums.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (sums[middle] > target) high = middle
      else low = middle + 1
    }
    return low
  }
}
