/** How much a cache keeps of what nobody uses at the moment; the same number of bytes for each item of a kind. */
export type CacheLimit = { readonly slots: number } | { readonly bytes: number; readonly itemBytes: number }

export interface CacheCounts {
  readonly hits: number
  readonly misses: number
}

/** A cache of named things, which drops what was used longest ago; what is in use stays, even beyond the limit. */
export interface Cache {
  readonly counts: CacheCounts
  has(key: string): boolean
  /** True on a hit. On a miss it counts as present from now on; whoever missed loads it. */
  acquire(key: string): boolean
  /** Ends one use; beyond the limit the oldest without uses go, with a limit of 0 at once. */
  release(key: string): void
}

/** How many items nobody need use for them to stay. */
export function slotsOf(limit: CacheLimit): number {
  return 'slots' in limit ? limit.slots : Math.floor(limit.bytes / limit.itemBytes)
}

export function createCache(limit: CacheLimit): Cache {
  const slots = slotsOf(limit)
  // A Map keeps its keys in the order of insertion: the oldest use comes first. Values are the uses of now.
  const uses = new Map<string, number>()
  let hits = 0
  let misses = 0

  function touch(key: string, count: number): void {
    uses.delete(key)
    uses.set(key, count)
  }

  function evict(): void {
    for (const [key, count] of uses) {
      if (uses.size <= slots) return
      if (count === 0) uses.delete(key)
    }
  }

  return {
    get counts() {
      return { hits, misses }
    },
    has: (key) => uses.has(key),
    acquire(key) {
      const count = uses.get(key)
      if (count === undefined) misses++
      else hits++
      touch(key, (count ?? 0) + 1)
      evict()
      return count !== undefined
    },
    release(key) {
      touch(key, Math.max(0, (uses.get(key) ?? 0) - 1))
      evict()
    },
  }
}
