/** A run of bytes in the arena. */
export interface Block {
  readonly offset: number
  readonly byteLength: number
}

export interface ArenaAllocator {
  /** Bytes that are handed out. */
  readonly used: number
  /** A block of at least `byteLength` bytes, or undefined if no gap is large enough. Its length is what was reserved. */
  allocate(byteLength: number): Block | undefined
  /** Takes a block back. Throws if it is not one that is handed out. */
  free(block: Block): void
}

/** Tensors begin at cache lines, which is also what the runtime's vectorised kernels like. */
export const ALIGNMENT = 64

/**
 * First fit over a list of gaps that is sorted by offset; neighbouring gaps are joined at once. There are tens of tensors,
 * not thousands, so a list is the fastest structure that can be checked by reading.
 */
export function createAllocator(size: number): ArenaAllocator {
  const gaps: { offset: number; byteLength: number }[] = [{ offset: 0, byteLength: size }]
  const taken = new Map<number, number>()
  let used = 0

  function allocate(byteLength: number): Block | undefined {
    const needed = Math.max(ALIGNMENT, Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT)
    const index = gaps.findIndex((gap) => gap.byteLength >= needed)
    if (index < 0) return undefined
    const gap = gaps[index]
    const block = { offset: gap.offset, byteLength: needed }
    if (gap.byteLength === needed) gaps.splice(index, 1)
    else gaps[index] = { offset: gap.offset + needed, byteLength: gap.byteLength - needed }
    taken.set(block.offset, needed)
    used += needed
    return block
  }

  function free({ offset, byteLength }: Block): void {
    if (taken.get(offset) !== byteLength) throw new Error(`Arena block ${offset}+${byteLength} is not handed out.`)
    taken.delete(offset)
    used -= byteLength
    const next = gaps.findIndex((gap) => gap.offset > offset)
    const at = next < 0 ? gaps.length : next
    gaps.splice(at, 0, { offset, byteLength })
    joinWithNext(gaps, at)
    if (at > 0) joinWithNext(gaps, at - 1)
  }

  return {
    get used() {
      return used
    },
    allocate,
    free,
  }
}

function joinWithNext(gaps: { offset: number; byteLength: number }[], index: number): void {
  const gap = gaps[index]
  const next = gaps.at(index + 1)
  if (next === undefined || gap.offset + gap.byteLength !== next.offset) return
  gaps.splice(index, 2, { offset: gap.offset, byteLength: gap.byteLength + next.byteLength })
}
