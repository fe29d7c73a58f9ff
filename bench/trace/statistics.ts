/** Entry n is the share of requests that use n add-ons. */
export function countShares(uses: readonly (readonly number[])[]): number[] {
  const counts: number[] = []
  for (const { length } of uses) {
    while (counts.length <= length) counts.push(0)
    counts[length]++
  }
  return counts.map((count) => count / uses.length)
}

/** The share of all uses that each item has, the most used one first; items without uses are left out. */
export function measuredShares(uses: readonly (readonly number[])[]): number[] {
  const byItem = new Map<number, number>()
  for (const item of uses.flat()) byItem.set(item, (byItem.get(item) ?? 0) + 1)
  const total = uses.reduce((sum, { length }) => sum + length, 0)
  return [...byItem.values()].sort((a, b) => b - a).map((count) => count / total)
}

/** The share of all uses that the `ranks` most used items have. */
export function coverageOf(uses: readonly (readonly number[])[], ranks: number): number {
  return measuredShares(uses)
    .slice(0, ranks)
    .reduce((sum, share) => sum + share, 0)
}

/** How many items a request loads on average if the `slots` items that were used last are kept. */
export function lruLoadsPerRequest(uses: readonly (readonly number[])[], slots: number): number {
  // A Set remembers the order in which its values were added: the first one was used longest ago.
  const cache = new Set<number>()
  let loads = 0
  for (const item of uses.flat()) {
    if (!cache.delete(item)) loads++
    cache.add(item)
    for (const oldest of cache) {
      if (cache.size <= slots) break
      cache.delete(oldest)
    }
  }
  return loads / uses.length
}
