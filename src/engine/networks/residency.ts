import { SwiftdError } from '../errors.js'

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
  /**
   * The resident of a key, made if it is not there; several who ask at once share it.
   * @throws SwiftdError OUT_OF_MEMORY if what is in use leaves less than `need`
   */
  acquire(key: string, make: () => Promise<T>, need?: Need): Promise<Lease<T>>
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

/** What a resident will take, known before it is made. */
export interface Need {
  readonly byteLength: number
  /** What it is, as the begin of a sentence. */
  readonly name: string
}

export interface ResidencyOptions {
  /** What stays when nobody uses it, in bytes. */
  readonly budgetBytes: number
  /** What may be in use at once, in bytes. @default everything */
  readonly limitBytes?: number
}

/** A job makes ready what it will use in a moment: another thing of the same job must not drive it out. */
const GRACE_MS = 10_000

interface Slot<T> {
  readonly made: Promise<T>
  value?: T
  uses: number
  pinned: boolean
  lastUsed: number
}

export function createResidency<T extends Resident>({
  budgetBytes,
  limitBytes = Infinity,
}: ResidencyOptions): Residency<T> {
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

  /** Releases what is over the budget and was not asked for within the last `graceMs`. */
  async function trim(graceMs = 0): Promise<void> {
    const unusedSince = Date.now() - graceMs
    const total = (): number => [...slots.values()].reduce((sum, { value }) => sum + (value?.byteLength ?? 0), 0)
    for (const [key, slot] of [...slots]) {
      if (total() <= budgetBytes) return
      if (slot.value && slot.uses === 0 && !slot.pinned && slot.lastUsed <= unusedSince) await remove(key, slot)
    }
  }

  function refuseOver({ byteLength, name }: Need): void {
    const held = [...slots.values()].filter(({ uses, pinned }) => uses > 0 || pinned)
    const used = held.reduce((sum, { value }) => sum + (value?.byteLength ?? 0), 0)
    if (used + byteLength <= limitBytes) return
    const sizes = `${megabytes(byteLength)} MiB, but ${megabytes(limitBytes - used)} MiB of ${megabytes(limitBytes)} MiB are free`
    throw new SwiftdError('OUT_OF_MEMORY', `${name} needs ${sizes}; use fewer at once, or unpin some.`)
  }

  return {
    async acquire(key, make, need) {
      if (need && !slots.has(key)) refuseOver(need)
      const slot: Slot<T> = slots.get(key) ?? { made: make(), uses: 0, pinned: false, lastUsed: 0 }
      slot.uses++
      touch(key, slot)
      try {
        slot.value = await slot.made
      } catch (error) {
        if (slots.get(key) === slot) slots.delete(key)
        throw error
      }
      await trim(GRACE_MS)
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
    trim: () => trim(),
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

function megabytes(bytes: number): number {
  return Math.max(0, Math.round(bytes / 2 ** 20))
}
