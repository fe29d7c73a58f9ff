import { SwiftdError } from '../errors.js'
import { createExclusive } from '../exclusive.js'
import { formatBytes } from '../format-bytes.js'

/** What something will take on a device, known before it is there. */
export interface Need {
  readonly byteLength: number
  /** What needs it, as the begin of a sentence: `The ControlNet canny`. */
  readonly name: string
  /** Tells what a person can do where it does not fit, as the end of a sentence. @default to use less at once */
  readonly advice?: () => string
}

/** Something that nobody uses: it may go to make room. */
export interface Unused {
  readonly byteLength: number
  /** In milliseconds since the epoch. */
  readonly lastUsed: number
  /** Takes it away, so that nobody finds it any more, and gives its bytes back; settles when its memory is free. */
  evict(neededFor: string): Promise<void>
}

/** Things of one kind that take memory on a device. */
export interface MemoryPool {
  /** Of pools with something unused, those of the lowest rank give first. */
  readonly rank: number
  /** What may go at this moment. */
  unused(): readonly Unused[]
  /** Bytes that may be free in the end: of what is unused, and of what is so once other pools have given. @default those of `unused` */
  freeable?(): number
}

/** ControlNets, overlays and embedded pictures are made again sooner than models, and sessions follow their models. */
export const EVICTION_RANKS = { addOn: 0, model: 1, workspace: 2 } as const

/** The account of one device's memory, which everything that takes much of it shares. */
export interface DeviceMemory {
  /** The device's name, for messages. */
  readonly device: string
  /** All that may be taken, in bytes. */
  readonly limitBytes: number
  /** What is taken, in bytes; what is being made counts from its begin. */
  readonly usedBytes: number
  /**
   * Takes bytes, after what nobody uses was released for them: by rank, and in a pool what was unused for longest. If all
   * of that would not do, nothing is released.
   * @throws SwiftdError OUT_OF_MEMORY with the numbers
   */
  take(need: Need): Promise<void>
  /**
   * Refuses what would not fit if nothing but `besides` were on the device.
   * @param besides what has to be there with it, in bytes
   * @throws SwiftdError OUT_OF_MEMORY with the numbers
   */
  checkFits(need: Need, besides: number): void
  /** Gives taken bytes back. */
  give(byteLength: number): void
  /** Lets a pool take part. @returns what ends that */
  add(pool: MemoryPool): () => void
}

export function createDeviceMemory(device: string, limitBytes: number): DeviceMemory {
  const pools = new Set<MemoryPool>()
  let usedBytes = 0
  // One at a time: what one of them makes room for is not taken by the next.
  const turn = createExclusive()

  const freeableBytes = (): number =>
    [...pools].reduce((sum, pool) => sum + (pool.freeable?.() ?? total(pool.unused())), 0)

  function next(): Unused | undefined {
    const ranks = [...new Set([...pools].map(({ rank }) => rank))].sort((a, b) => a - b)
    for (const rank of ranks) {
      const unused = [...pools].flatMap((pool) => (pool.rank === rank ? pool.unused() : []))
      if (unused.length > 0) return unused.reduce((a, b) => (b.lastUsed < a.lastUsed ? b : a))
    }
    return undefined
  }

  async function makeRoom({ byteLength, name, advice }: Need): Promise<void> {
    const refuse = (): never => {
      const free = limitBytes - usedBytes + freeableBytes()
      throw refusal({ device, limitBytes, name, byteLength, advice, free: Math.max(0, free) })
    }
    if (usedBytes - freeableBytes() + byteLength > limitBytes) refuse()
    while (usedBytes + byteLength > limitBytes) {
      const goes = next()
      // Somebody may have begun to use what was free a moment ago.
      if (!goes) return refuse()
      await goes.evict(name)
    }
  }

  return {
    device,
    limitBytes,
    get usedBytes() {
      return usedBytes
    },
    take: (need) =>
      turn(async () => {
        if (need.byteLength <= 0) return
        await makeRoom(need)
        usedBytes += need.byteLength
      }),
    checkFits({ byteLength, name, advice }, besides) {
      const free = Math.max(0, limitBytes - besides)
      if (byteLength > free) throw refusal({ device, limitBytes, name, byteLength, advice, free })
    },
    give(byteLength) {
      usedBytes -= byteLength
    },
    add(pool) {
      pools.add(pool)
      return () => void pools.delete(pool)
    },
  }
}

interface Refusal {
  readonly device: string
  readonly limitBytes: number
  readonly name: string
  readonly byteLength: number
  readonly advice: Need['advice']
  readonly free: number
}

function refusal({ device, limitBytes, name, byteLength, advice, free }: Refusal): SwiftdError {
  const [needed, left, all] = [byteLength, free, limitBytes].map(formatBytes)
  const most = byteLength > limitBytes ? '; that is more than it has' : ''
  const numbers = `${name} needs ${needed}, but ${left} of ${all} are free on ${device}${most}`
  return new SwiftdError('OUT_OF_MEMORY', `${numbers}: ${advice?.() ?? DEFAULT_ADVICE}.`)
}

/** For what has no advice of its own. */
export const DEFAULT_ADVICE =
  'use fewer models, ControlNets or LoRAs at once, unpin some, or raise SWIFTD_DEVICE_MEMORY_MB'

function total(unused: readonly Unused[]): number {
  return unused.reduce((sum, { byteLength }) => sum + byteLength, 0)
}
