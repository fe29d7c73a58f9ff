import { viewMemory, type Pointer } from '../memory/libc.js'

/** A native object with exactly one owner, who releases it. */
export interface NativeHandle {
  /** The runtime's object. Throws once it is released. */
  readonly pointer: Pointer
  /** Frees the object. Further calls do nothing. */
  release(): void
}

let live = 0

/** How many native objects of the runtime this process holds; tests prove with it that nothing leaks. */
export function liveNativeObjects(): number {
  return live
}

/** Takes ownership of a native object. */
export function own(what: string, pointer: Pointer, release: (pointer: Pointer) => void): NativeHandle {
  live++
  let held: Pointer | undefined = pointer
  return {
    get pointer() {
      if (held === undefined) throw new Error(`This ${what} was released.`)
      return held
    },
    release() {
      if (held === undefined) return
      const released = held
      held = undefined
      live--
      release(released)
    },
  }
}

/** Calls a function that returns an object through its last argument, and gives that object. */
export function outPointer(call: (out: [Pointer | null]) => void): Pointer {
  const out: [Pointer | null] = [null]
  call(out)
  if (out[0] === null) throw new Error('The runtime returned no object.')
  return out[0]
}

/** Reads an array of `count` pointers. */
export function readPointers(array: Pointer, count: number): Pointer[] {
  return Array.from(new BigUint64Array(viewMemory(array, count * 8)))
}
