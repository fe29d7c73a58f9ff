import { describe, expect, it } from 'vitest'
import { createDeviceMemory, EVICTION_RANKS, type DeviceMemory } from './device-memory.js'
import { createResidency, type Residency, type Resident } from './residency.js'

const MB = 1_000_000

describe('the memory of a device', () => {
  /** A device of 10 MB with add-ons and models; what is released is written down. */
  function setUp(budgetBytes = Infinity) {
    const memory = createDeviceMemory('cpu:0', 10 * MB)
    const released: string[] = []
    const evicted: [name: string, neededFor: string | undefined][] = []
    type Named = Resident & { readonly name: string }
    const pool = (rank: number, budget = Infinity): Residency<Named> =>
      createResidency<Named>({
        budgetBytes: budget,
        memory: { account: memory, rank },
        onEvicted: ({ name }, neededFor) => evicted.push([name, neededFor]),
      })
    const addOns = pool(EVICTION_RANKS.addOn, budgetBytes)
    const models = pool(EVICTION_RANKS.model)
    const acquire = (from: Residency<Named>, name: string, megabytes: number) => {
      const byteLength = megabytes * MB
      const made: Named = { name, byteLength, release: () => void released.push(name) }
      return from.acquire(
        name,
        () => Promise.resolve(made),
        () => Promise.resolve({ byteLength, name: `The thing ${name}` }),
      )
    }
    const use = async (from: Residency<Named>, name: string, megabytes: number): Promise<void> =>
      (await acquire(from, name, megabytes)).end()
    return { memory, released, evicted, addOns, models, acquire, use }
  }
  const used = ({ usedBytes }: DeviceMemory): number => usedBytes / MB

  it('is given by add-ons first, and then by models, those unused for longest first', async () => {
    const { memory, released, evicted, addOns, models, use } = setUp()
    await use(models, 'old model', 3)
    await use(addOns, 'old add-on', 1)
    await use(models, 'new model', 3)
    await use(addOns, 'new add-on', 1)
    await use(addOns, 'old add-on', 1)
    expect(used(memory)).toBe(8)
    await use(models, 'third model', 3)
    expect(released).toEqual(['new add-on'])
    await use(models, 'fourth model', 6)
    expect(released).toEqual(['new add-on', 'old add-on', 'old model', 'new model'])
    expect(evicted[0]).toEqual(['new add-on', 'The thing third model'])
    expect(used(memory)).toBe(9)
  })

  it('is not given by what is used or pinned, and the refusal has the numbers', async () => {
    const { memory, released, addOns, models, acquire, use } = setUp()
    const busy = await acquire(models, 'busy', 4)
    await use(addOns, 'pinned', 2)
    addOns.pin('pinned', true)
    await use(addOns, 'unused', 1)
    await expect(use(models, 'large', 7)).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(
        /^The thing large needs 7\.0 MB, but 4\.0 MB of 10\.0 MB are free on cpu:0: /,
      ) as string,
    })
    // What would not have been enough is still there.
    expect(released).toEqual([])
    busy.end()
    await use(models, 'large', 7)
    expect(released).toEqual(['unused', 'busy'])
    expect(used(memory)).toBe(9)
  })

  it('says so where something is larger than all of it', async () => {
    const { models, use } = setUp()
    await expect(use(models, 'huge', 11)).rejects.toThrow(
      /10\.0 MB of 10\.0 MB are free on cpu:0; that is more than it has/,
    )
  })

  it('is not taken twice by two who ask at once', async () => {
    const { memory, models, acquire } = setUp()
    const both = await Promise.allSettled([acquire(models, 'a', 6), acquire(models, 'b', 6)])
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect(used(memory)).toBe(6)
  })

  it('is given back by what could not be made', async () => {
    const { memory, models } = setUp()
    const failing = models.acquire(
      'broken',
      () => Promise.reject(new Error('damaged')),
      () => Promise.resolve({ byteLength: MB, name: '' }),
    )
    await expect(failing).rejects.toThrow('damaged')
    expect([used(memory), models.has('broken')]).toEqual([0, false])
  })

  it('has one thing once: who asks for what is just leaving waits until it has gone', async () => {
    const { memory, models, acquire } = setUp()
    const order: string[] = []
    let letGo = (): void => undefined
    const mayGo = new Promise<void>((resolve) => (letGo = resolve))
    const make = async () => {
      order.push('made')
      const release = async (): Promise<void> => {
        order.push('leaves')
        await mayGo
        order.push('gone')
      }
      return Promise.resolve({ name: 'a', byteLength: 3 * MB, release })
    }
    const useA = async (megabytes: number) =>
      (await models.acquire('a', make, () => Promise.resolve({ byteLength: megabytes * MB, name: 'a' }))).end()
    await useA(3)
    const other = acquire(models, 'b', 8)
    await expect.poll(() => order.at(-1)).toBe('leaves')
    const again = useA(2).catch(() => order.push('refused'))
    letGo()
    ;(await other).end()
    await again
    expect(order).toEqual(['made', 'leaves', 'gone', 'made'])
    expect(used(memory)).toBe(10)
  })

  it('is kept by a budget below what would fit, except what was asked for a moment ago', async () => {
    const { memory, evicted, addOns, use } = setUp(3 * MB)
    for (const name of ['a', 'b', 'c', 'd']) await use(addOns, name, 1)
    expect(used(memory)).toBe(4)
    await addOns.trim()
    expect(used(memory)).toBe(3)
    expect(evicted).toEqual([['a', undefined]])
  })

  it('lets what was given up go with its last lease, and makes it anew for who asks next', async () => {
    const { memory, released, addOns, acquire } = setUp()
    const first = await acquire(addOns, 'a', 1)
    addOns.discard('a')
    const second = await acquire(addOns, 'a', 1)
    expect([second.value === first.value, used(memory), released]).toEqual([false, 2, []])
    first.end()
    second.end()
    await addOns.close()
    expect([used(memory), released]).toEqual([0, ['a', 'a']])
  })
})
