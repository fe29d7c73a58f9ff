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
  /** When it was last asked for, in milliseconds since the epoch. */
  readonly lastUsed: number
}

/** Keeps residents under a budget of bytes; of those that nobody uses, the ones unused for longest go first. */
export interface Residency<T extends Resident> {
  /** The resident of a key, made if it is not there; several who ask at once share it. */
  acquire(key: string, make: () => Promise<T>): Promise<Lease<T>>
  /** Whether a key is there, or is being made. */
  has(key: string): boolean
  /** Keeps a resident whatever the budget says. */
  pin(key: string, pinned: boolean): void
  /** Releases what is over the budget. */
  trim(): Promise<void>
  /** Releases the entries that `matches` names, also pinned ones. The caller knows that nobody uses them. */
  drop(matches: (key: string) => boolean): Promise<void>
  readonly entries: readonly ResidentEntry<T>[]
}

interface Slot<T> {
  readonly made: Promise<T>
  value?: T
  uses: number
  pinned: boolean
  lastUsed: number
}

export function createResidency<T extends Resident>(budgetBytes: number): Residency<T> {
  // In the order of their last use.
  const slots = new Map<string, Slot<T>>()

  function touch(key: string, slot: Slot<T>): void {
    slot.lastUsed = Date.now()
    slots.delete(key)
    slots.set(key, slot)
  }

  async function remove(key: string, slot: Slot<T>): Promise<void> {
    slots.delete(key)
    await slot.value?.release()
  }

  async function trim(): Promise<void> {
    const total = (): number => [...slots.values()].reduce((sum, { value }) => sum + (value?.byteLength ?? 0), 0)
    for (const [key, slot] of [...slots]) {
      if (total() <= budgetBytes) return
      if (slot.value && slot.uses === 0 && !slot.pinned) await remove(key, slot)
    }
  }

  return {
    async acquire(key, make) {
      const slot: Slot<T> = slots.get(key) ?? { made: make(), uses: 0, pinned: false, lastUsed: 0 }
      slot.uses++
      touch(key, slot)
      try {
        slot.value = await slot.made
      } catch (error) {
        if (slots.get(key) === slot) slots.delete(key)
        throw error
      }
      await trim()
      let held = true
      return {
        value: slot.value,
        end() {
          if (held) slot.uses--
          held = false
        },
      }
    },
    has: (key) => slots.has(key),
    pin(key, pinned) {
      const slot = slots.get(key)
      if (slot) slot.pinned = pinned
    },
    trim,
    async drop(matches) {
      for (const [key, slot] of [...slots]) {
        if (!matches(key)) continue
        await slot.made.catch(() => undefined)
        if (slots.get(key) === slot) await remove(key, slot)
      }
    },
    get entries() {
      return [...slots].flatMap(([key, { value, uses, pinned, lastUsed }]) =>
        value ? [{ key, value, uses, pinned, lastUsed }] : [],
      )
    },
  }
}
