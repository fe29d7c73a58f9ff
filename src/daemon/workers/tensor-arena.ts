import { closeSync, ftruncateSync, openSync, unlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SwiftdError } from '../../engine/errors.js'
import {
  mapShared,
  openAnonymousFile,
  releasePages,
  unmap,
  viewMemory,
  type Pointer,
} from '../../engine/memory/libc.js'
import type { Tensor } from '../../engine/pipeline/stages.js'
import { createAllocator, type Block } from './arena-allocator.js'
import { float32Bytes, type TensorHandle } from './tensor-handle.js'

/**
 * The shared memory of the daemon and its workers: one anonymous file that all of them map. The daemon owns it and hands
 * out its blocks; workers get handles and read and write the same pages. Nothing of it remains when the processes end.
 *
 * Its size is address space, not memory: a page exists from its first use on, and large freed blocks give theirs back.
 */
export const ARENA_BYTES = 8 * 1024 ** 3

/** Smaller blocks keep their pages: they are used again soon, and giving back takes a call to the system. */
const RELEASE_PAGES_FROM = 1024 * 1024
const PAGE_BYTES = 4096

/** A tensor whose values lie in the arena. */
export interface ArenaTensor extends Tensor {
  readonly handle: TensorHandle
}

/** The daemon's side. */
export interface TensorArena {
  /** Of the shared file; workers inherit it. */
  readonly fd: number
  readonly size: number
  /** Bytes that are handed out. */
  readonly used: number
  /**
   * A zeroed tensor. Its `release` may be called more than once.
   * @throws SwiftdError OUT_OF_MEMORY
   */
  allocate(dims: readonly number[]): ArenaTensor
  /** Ends the mapping; no tensor may be used any more. */
  close(): void
}

export function createArena(size = ARENA_BYTES): TensorArena {
  const fd = openSharedFile()
  ftruncateSync(fd, size)
  const base = mapShared(fd, size, 'read-write')
  const allocator = createAllocator(size)

  function allocate(dims: readonly number[]): ArenaTensor {
    const byteLength = float32Bytes(dims)
    const block = allocator.allocate(byteLength)
    if (!block) {
      throw new SwiftdError(
        'OUT_OF_MEMORY',
        `A tensor of ${dims.join('x')} does not fit into the ${megabytes(size - allocator.used)} MiB that are left of the ` +
          `shared memory; ask for a smaller or for fewer images.`,
      )
    }
    const data = new Float32Array(viewMemory(base + BigInt(block.offset), byteLength))
    data.fill(0)
    let held = true
    return {
      dims,
      data,
      handle: { offset: block.offset, byteLength, dims: [...dims] },
      release() {
        if (held) free(block)
        held = false
      },
    }
  }

  function free(block: Block): void {
    // Only whole pages of this block: its first and last page may hold a neighbour's values.
    const begin = Math.ceil(block.offset / PAGE_BYTES) * PAGE_BYTES
    const end = Math.floor((block.offset + block.byteLength) / PAGE_BYTES) * PAGE_BYTES
    if (end - begin >= RELEASE_PAGES_FROM) releasePages(base + BigInt(begin), end - begin)
    allocator.free(block)
  }

  return {
    fd,
    size,
    get used() {
      return allocator.used
    },
    allocate,
    close() {
      unmap(base, size)
      closeSync(fd)
    },
  }
}

/** A worker's side: it owns nothing and only finds tensors. */
export interface ArenaView {
  /**
   * Where a tensor's values begin in this process.
   * @throws RangeError if the handle does not lie in the arena or contradicts itself
   */
  addressOf(handle: TensorHandle): Pointer
}

/** Maps the arena from the descriptor that this process inherited. */
export function openArena(fd: number, size: number): ArenaView {
  const base = mapShared(fd, size, 'read-write')
  return {
    addressOf({ offset, byteLength, dims }) {
      if (byteLength !== float32Bytes(dims) || offset % 4 !== 0 || offset < 0 || offset + byteLength > size) {
        throw new RangeError(`The tensor handle ${offset}+${byteLength} [${dims.join(', ')}] is not valid.`)
      }
      return base + BigInt(offset)
    },
  }
}

/** Where the system has no anonymous files, one that loses its name at once does the same. */
function openSharedFile(): number {
  const anonymous = openAnonymousFile('swiftd-arena')
  if (anonymous !== undefined) return anonymous
  const path = join(tmpdir(), `swiftd-arena-${process.pid}`)
  const fd = openSync(path, 'wx+', 0o600)
  unlinkSync(path)
  return fd
}

function megabytes(bytes: number): number {
  return Math.floor(bytes / 1024 ** 2)
}
