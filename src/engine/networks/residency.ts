import type { DeviceMemory, Need, Unused } from './device-memory.js'

/** Something that takes memory on a device and can be made again. */
export interface Resident {
  readonly byteLength: number
  release(): void | Promise<void>
}

/** A resident that somebody uses: it stays until `end` is called, once for each lease. */
export interface Lease<T> {
  readonly value: T
  end(): void
}

/** One entry, for listings. */
export interface ResidentEntry<T> {
  readonly key: string
  readonly value: T
  /** Leases that have not ended. */
  readonly uses: number
  readonly pinned: boolean
  /** When it was last asked for or let go, in milliseconds since the epoch. */
  readonly lastUsed: number
}

/** Keeps residents under a budget of bytes; of those that nobody uses, the ones unused for longest go first. */
export interface Residency<T extends Resident> {
  /**
   * The resident of a key, made if it is not there; several who ask at once share it.
   * @param need what it takes of the device's memory, if it does not take that by itself
   * @throws SwiftdError OUT_OF_MEMORY if what is in use leaves less than `need`
   */
  acquire(key: string, make: () => Promise<T>, need?: () => Promise<Need>): Promise<Lease<T>>
  /** Whether a key is there, or is being made. */
  has(key: string): boolean
  /** Whether somebody uses it, or it is pinned. */
  isHeld(key: string): boolean
  /** One more use of what is there, without waiting. @returns what ends it, once */
  hold(key: string): () => void
  /** Keeps a resident whatever the budget says. */
  pin(key: string, pinned: boolean): void
  /** Releases what is over the budget. */
  trim(): Promise<void>
  /** Gives a key up: who asks next has it made anew, and the resident goes with its last lease. */
  discard(key: string): void
  /** Releases the entries that `matches` names, also pinned ones. The caller knows that nobody uses them. */
  drop(matches: (key: string) => boolean): Promise<void>
  /** Drops everything, and takes no part in the device's memory any more. */
  close(): Promise<void>
  readonly entries: readonly ResidentEntry<T>[]
}

export interface ResidencyOptions<T> {
  /** What stays when nobody uses it, in bytes. @default everything that fits the memory */
  readonly budgetBytes?: number
  /** The memory that residents take, and when they go where others need it. */
  readonly memory?: { readonly account: DeviceMemory; readonly rank: number }
  /** Told what goes because it is over the budget, or because of what needs its memory. */
  readonly onEvicted?: (value: T, neededFor: string | undefined) => void
}

/** A job makes ready what it will use in a moment: another thing of the same job must not drive it out. */
const GRACE_MS = 10_000

interface Slot<T> {
  readonly made: Promise<T>
  value?: T
  /** Of the device's memory, taken for it by this residency. */
  takenBytes: number
  uses: number
  pinned: boolean
  lastUsed: number
  /** It was given up: nobody finds it, and it goes with its last lease. */
  discarded: boolean
}

export function createResidency<T extends Resident>({
  budgetBytes = Infinity,
  memory,
  onEvicted,
}: ResidencyOptions<T> = {}): Residency<T> {
  // In the order of their last use.
  const slots = new Map<string, Slot<T>>()
  const leaving = new Map<string, Promise<void>>()

  function touch(key: string, slot: Slot<T>): void {
    slot.lastUsed = Date.now()
    if (slots.get(key) !== slot) return
    slots.delete(key)
    slots.set(key, slot)
  }

  function giveBack(slot: Slot<T>): void {
    memory?.account.give(slot.takenBytes)
    slot.takenBytes = 0
  }

  /** Takes an entry away; what takes its place waits until it is gone. */
  function remove(key: string, slot: Slot<T>): Promise<void> {
    if (slots.get(key) === slot) slots.delete(key)
    const gone = Promise.resolve(slot.value?.release()).finally(() => {
      giveBack(slot)
      if (leaving.get(key) === gone) leaving.delete(key)
    })
    leaving.set(key, gone)
    return gone
  }

  async function evict(key: string, slot: Slot<T>, neededFor?: string): Promise<void> {
    if (slot.value) onEvicted?.(slot.value, neededFor)
    await remove(key, slot)
  }

  const isFree = ({ value, uses, pinned }: Slot<T>): boolean => value !== undefined && uses === 0 && !pinned

  /** Releases what is over the budget and was not asked for within the last `graceMs`. */
  async function trim(graceMs = 0): Promise<void> {
    const unusedSince = Date.now() - graceMs
    const total = (): number => [...slots.values()].reduce((sum, { value }) => sum + (value?.byteLength ?? 0), 0)
    for (const [key, slot] of [...slots]) {
      if (total() <= budgetBytes) return
      if (slots.get(key) === slot && isFree(slot) && slot.lastUsed <= unusedSince) await evict(key, slot)
    }
  }

  async function make(key: string, slot: Slot<T>, create: () => Promise<T>, need?: () => Promise<Need>): Promise<T> {
    await leaving.get(key)
    if (need && memory) {
      const wanted = await need()
      await memory.account.take(wanted)
      slot.takenBytes = wanted.byteLength
    }
    try {
      return (slot.value = await create())
    } catch (error) {
      giveBack(slot)
      throw error
    }
  }

  /** One use more, until the returned function is called. */
  function use(key: string, slot: Slot<T>): () => void {
    slot.uses++
    touch(key, slot)
    let held = true
    return () => {
      if (!held) return
      held = false
      slot.uses--
      touch(key, slot)
      // Whoever waits for room may have it now; whatever fails of it is nobody's business here.
      if (slot.discarded && slot.uses === 0) remove(key, slot).catch(() => undefined)
    }
  }

  function open(key: string, create: () => Promise<T>, need?: () => Promise<Need>): Slot<T> {
    const slot: Slot<T> = {
      made: Promise.resolve().then(() => make(key, slot, create, need)),
      ...{ takenBytes: 0, uses: 0, pinned: false, lastUsed: 0, discarded: false },
    }
    return slot
  }

  const unused = (): Unused[] =>
    [...slots].flatMap(([key, slot]) =>
      slot.value && isFree(slot)
        ? [
            {
              byteLength: slot.takenBytes || slot.value.byteLength,
              lastUsed: slot.lastUsed,
              evict: (neededFor: string) => evict(key, slot, neededFor),
            },
          ]
        : [],
    )
  const leaveMemory = memory?.account.add({ rank: memory.rank, unused })

  async function drop(matches: (key: string) => boolean): Promise<void> {
    for (const [key, slot] of [...slots]) {
      if (!matches(key)) continue
      await slot.made.catch(() => undefined)
      if (slots.get(key) === slot) await remove(key, slot)
    }
    await Promise.all([...leaving].flatMap(([key, gone]) => (matches(key) ? [gone] : [])))
  }

  return {
    async acquire(key, create, need) {
      const slot = slots.get(key) ?? open(key, create, need)
      const end = use(key, slot)
      slots.set(key, slot)
      try {
        const value = await slot.made
        await trim(GRACE_MS)
        return { value, end }
      } catch (error) {
        end()
        if (slots.get(key) === slot) slots.delete(key)
        throw error
      }
    },
    has: (key) => slots.has(key),
    isHeld(key) {
      const slot = slots.get(key)
      return slot !== undefined && (slot.uses > 0 || slot.pinned)
    },
    hold(key) {
      const slot = slots.get(key)
      return slot ? use(key, slot) : () => undefined
    },
    pin(key, pinned) {
      const slot = slots.get(key)
      if (slot) slot.pinned = pinned
    },
    trim: () => trim(),
    discard(key) {
      const slot = slots.get(key)
      if (!slot) return
      slots.delete(key)
      slot.discarded = true
      if (slot.uses === 0) remove(key, slot).catch(() => undefined)
    },
    drop,
    async close() {
      await drop(() => true)
      leaveMemory?.()
    },
    get entries() {
      return [...slots].flatMap(([key, { value, uses, pinned, lastUsed }]) =>
        value ? [{ key, value, uses, pinned, lastUsed }] : [],
      )
    },
  }
}
