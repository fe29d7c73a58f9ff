import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { viewMemory } from '../../engine/memory/libc.js'
import { createArena, openArena, type TensorArena } from './tensor-arena.js'

const MIB = 1024 ** 2
let arena: TensorArena

afterEach(() => arena.close())

describe('tensor arena', () => {
  it('shows values to whoever maps the same file, without a copy', () => {
    arena = createArena(MIB)
    const tensor = arena.allocate([2, 3])
    const view = openArena(arena.fd, arena.size)
    const shared = new Float32Array(viewMemory(view.addressOf(tensor.handle), tensor.handle.byteLength))
    tensor.data.set([1, 2, 3, 4, 5, 6])
    expect([...shared]).toEqual([1, 2, 3, 4, 5, 6])
    shared[0] = 9
    expect(tensor.data[0]).toBe(9)
  })

  it('zeroes memory that it hands out again', () => {
    arena = createArena(MIB)
    const first = arena.allocate([16])
    first.data.fill(7)
    first.release()
    const second = arena.allocate([16])
    expect(second.handle.offset).toBe(first.handle.offset)
    expect([...second.data]).toEqual(new Array(16).fill(0))
  })

  it('releases a tensor once, however often it is asked to', () => {
    arena = createArena(MIB)
    const tensor = arena.allocate([16])
    tensor.release()
    const other = arena.allocate([16])
    tensor.release()
    expect(arena.used).toBe(other.handle.byteLength)
  })

  it.runIf(process.platform === 'linux')('gives the pages of large tensors back to the system, and only theirs', () => {
    arena = createArena(64 * MIB)
    const small = arena.allocate([16])
    const large = arena.allocate([4 * MIB])
    small.data.fill(1)
    large.data.fill(1)
    const before = sharedMemoryKib()
    large.release()
    expect(before - sharedMemoryKib()).toBeGreaterThan(15 * 1024)
    expect([...small.data]).toEqual(new Array(16).fill(1))
  })

  it('explains that a tensor does not fit', () => {
    arena = createArena(MIB)
    expect(() => arena.allocate([1024, 1024])).toThrow(
      expect.objectContaining({ code: 'OUT_OF_MEMORY', message: expect.stringContaining('1024x1024') as string }),
    )
  })

  it('refuses handles that lie outside or contradict themselves', () => {
    arena = createArena(MIB)
    const view = openArena(arena.fd, arena.size)
    const handles = [
      { offset: MIB - 4, byteLength: 8, dims: [2] },
      { offset: 0, byteLength: 8, dims: [3] },
      { offset: 2, byteLength: 4, dims: [1] },
      { offset: -4, byteLength: 4, dims: [1] },
    ]
    for (const handle of handles) expect(() => view.addressOf(handle)).toThrow(RangeError)
  })
})

function sharedMemoryKib(): number {
  return Number(/RssShmem:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1])
}
