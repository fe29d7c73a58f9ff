import { koffi } from './foreign.js'
import { mapAnonymous, unmap, viewMemory, type Pointer } from './libc.js'

/** Memory outside of JavaScript's heap: its address stays the same, and nothing collects it while the runtime reads it. */
export interface NativeMemory {
  readonly address: Pointer
  readonly byteLength: number
  /** A view of all bytes. Not to be used after `release`. */
  readonly buffer: ArrayBuffer
  /** The same as floats. */
  readonly floats: Float32Array
  release(): void
}

/** From this size on memory is mapped: the system gives pages that are zero already, when they are first used. */
const MAP_FROM_BYTES = 256 * 1024

/** Allocates zeroed memory. */
export function allocateNative(byteLength: number): NativeMemory {
  const mapped = byteLength >= MAP_FROM_BYTES
  const address = mapped ? mapAnonymous(byteLength) : (koffi.alloc('uint8_t', byteLength) as Pointer)
  const buffer = viewMemory(address, byteLength)
  if (!mapped) new Uint8Array(buffer).fill(0)
  let held = true
  return {
    address,
    byteLength,
    buffer,
    floats: new Float32Array(buffer, 0, Math.floor(byteLength / 4)),
    release() {
      if (held && mapped) unmap(address, byteLength)
      else if (held) koffi.free(address)
      held = false
    },
  }
}

/** Memory for a network's small inputs, kept from run to run: what the runtime has bound never dangles. */
export interface Scratch {
  /** Makes room for at least `byteLength` bytes; earlier addresses become invalid when it grows. */
  reserve(byteLength: number): Pointer
  /** What was reserved. */
  readonly buffer: ArrayBuffer
  release(): void
}

export function createScratch(): Scratch {
  let memory = allocateNative(64)
  return {
    reserve(byteLength) {
      if (memory.byteLength < byteLength) {
        memory.release()
        memory = allocateNative(byteLength)
      }
      return memory.address
    },
    get buffer() {
      return memory.buffer
    },
    release: () => memory.release(),
  }
}
