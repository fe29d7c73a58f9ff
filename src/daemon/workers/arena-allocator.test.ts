import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ALIGNMENT, createAllocator, type Block } from './arena-allocator.js'

const SIZE = 64 * 1024

describe('arena allocator', () => {
  it('never hands out overlapping, misaligned or outlying blocks, and counts what is used', () => {
    const operation = fc.record({ bytes: fc.integer({ min: 1, max: 20_000 }), pick: fc.nat(), free: fc.boolean() })
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
        const allocator = createAllocator(SIZE)
        const held: Block[] = []
        for (const { bytes, pick, free } of operations) {
          if (free && held.length > 0) {
            allocator.free(held.splice(pick % held.length, 1)[0])
          } else {
            const block = allocator.allocate(bytes)
            if (!block) continue
            expect(block.offset % ALIGNMENT).toBe(0)
            expect(block.byteLength).toBeGreaterThanOrEqual(bytes)
            expect(block.offset + block.byteLength).toBeLessThanOrEqual(SIZE)
            for (const other of held) {
              const apart =
                block.offset + block.byteLength <= other.offset || other.offset + other.byteLength <= block.offset
              expect(apart).toBe(true)
            }
            held.push(block)
          }
          expect(allocator.used).toBe(held.reduce((sum, block) => sum + block.byteLength, 0))
        }
        // Whatever the order, all gaps join again.
        for (const block of held) allocator.free(block)
        expect(allocator.allocate(SIZE)).toEqual({ offset: 0, byteLength: SIZE })
      }),
    )
  })

  it('refuses only what no gap can hold', () => {
    const allocator = createAllocator(256)
    const first = allocator.allocate(128)!
    const second = allocator.allocate(128)!
    expect(allocator.allocate(1)).toBeUndefined()
    allocator.free(first)
    expect(allocator.allocate(129)).toBeUndefined()
    expect(allocator.allocate(128)).toEqual(first)
    allocator.free(second)
  })

  it('throws for a block that is freed twice', () => {
    const allocator = createAllocator(256)
    const block = allocator.allocate(64)!
    allocator.free(block)
    expect(() => allocator.free(block)).toThrow('not handed out')
  })
})
