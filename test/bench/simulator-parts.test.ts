import { describe, expect, it } from 'vitest'
import { createCache } from '../../bench/simulator/cache.js'
import { createEventHeap } from '../../bench/simulator/event-heap.js'
import { allOf, createClock, createSignal, type Process } from '../../bench/simulator/process.js'

describe('a cache', () => {
  it('drops what was used longest ago', () => {
    const cache = createCache({ slots: 2 })
    for (const key of ['a', 'b', 'a', 'c']) {
      cache.acquire(key)
      cache.release(key)
    }
    expect(['a', 'b', 'c'].filter((key) => cache.has(key))).toEqual(['a', 'c'])
    expect(cache.counts).toEqual({ hits: 1, misses: 3 })
  })

  it('keeps what is in use beyond its limit, and with a limit of 0 only that', () => {
    const cache = createCache({ bytes: 99, itemBytes: 100 })
    cache.acquire('a')
    cache.acquire('b')
    expect([cache.has('a'), cache.acquire('a')]).toEqual([true, true])
    for (const key of ['a', 'b']) cache.release(key)
    expect([cache.has('a'), cache.has('b')]).toEqual([true, false])
    cache.release('a')
    expect(cache.has('a')).toBe(false)
  })
})

describe('the event heap', () => {
  it('gives events by time, and those of one moment as they came', () => {
    const heap = createEventHeap<number>()
    const all = Array.from({ length: 500 }, (_, index) => ({ time: (index * 7919) % 50, value: index }))
    for (const { time, value } of all) heap.push(time, value)
    const popped = all.map(() => heap.pop())
    expect(popped).toMatchObject(all.toSorted((a, b) => a.time - b.time || a.value - b.value))
    expect(heap.pop()).toBeUndefined()
  })
})

describe('processes', () => {
  it('go on when what they wait for has happened, and tell their end', () => {
    const clock = createClock()
    const seen: string[] = []
    function* walk(name: string, ms: number): Process {
      yield clock.sleep(ms)
      seen.push(`${name} at ${clock.now}`)
    }
    const both = allOf([clock.start(walk('slow', 20)), clock.start(walk('fast', 5))])
    both.onFire(() => seen.push(`both at ${clock.now}`))
    clock.run()
    expect(seen).toEqual(['fast at 5', 'slow at 20', 'both at 20'])
    expect([both.hasFired, allOf([]).hasFired, createSignal().hasFired]).toEqual([true, true, false])
  })

  it('may wait a hundred thousand times for what has happened already', () => {
    const clock = createClock()
    function* many(): Process {
      for (let i = 0; i < 100_000; i++) yield allOf([])
    }
    expect(clock.start(many()).hasFired).toBe(true)
  })
})
