/** Things to be taken out in order of time; those of one moment in the order in which they were put in. */
export interface EventHeap<T> {
  readonly size: number
  push(time: number, value: T): void
  /** Takes out the earliest; undefined if there is none. */
  pop(): { readonly time: number; readonly value: T } | undefined
}

interface Entry<T> {
  readonly time: number
  readonly order: number
  readonly value: T
}

/** A binary heap. */
export function createEventHeap<T>(): EventHeap<T> {
  const entries: Entry<T>[] = []
  let order = 0
  return {
    get size() {
      return entries.length
    },
    push(time, value) {
      entries.push({ time, order: order++, value })
      siftUp(entries)
    },
    pop() {
      const first = entries.at(0)
      const last = entries.pop()
      if (first !== undefined && last !== undefined && entries.length > 0) {
        entries[0] = last
        siftDown(entries)
      }
      return first
    },
  }
}

function isBefore(a: Entry<unknown>, b: Entry<unknown>): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order)
}

function siftUp(entries: Entry<unknown>[]): void {
  let child = entries.length - 1
  while (child > 0) {
    const parent = (child - 1) >> 1
    if (!isBefore(entries[child], entries[parent])) return
    swap(entries, child, parent)
    child = parent
  }
}

function siftDown(entries: Entry<unknown>[]): void {
  let parent = 0
  for (;;) {
    let least = parent
    for (const child of [2 * parent + 1, 2 * parent + 2]) {
      if (child < entries.length && isBefore(entries[child], entries[least])) least = child
    }
    if (least === parent) return
    swap(entries, parent, least)
    parent = least
  }
}

function swap(entries: Entry<unknown>[], a: number, b: number): void {
  const entry = entries[a]
  entries[a] = entries[b]
  entries[b] = entry
}
