import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createGraphBuilder, type Graph } from '../graph/builder.js'
import { linear } from '../graph/layers.js'
import { allocateNative, type NativeMemory } from '../memory/native-memory.js'
import { OrtError } from './api.js'
import { openEnvironment, type Environment } from './environment.js'
import { liveNativeObjects } from './native.js'
import { openSession } from './session.js'
import { valueDims, valueFloats } from './value.js'

const collectGarbage = (globalThis as { gc?: () => void }).gc

/** y (N, 2) = x (N, 3) W^T, repeated `times` as y = tanh(y Q^T) to make a run long. */
function productGraph(times = 0): Graph {
  const g = createGraphBuilder('product')
  let y = linear(g, g.input('x', 'float32', ['N', 3]), 'first', 3, 2, false)
  for (let i = 0; i < times; i++) y = g.node('Tanh', [linear(g, y, 'again', 2, 2, false)])
  g.output('y', y, ['N', 2])
  return g.build()
}

function filled(values: readonly number[]): NativeMemory {
  const memory = allocateNative(values.length * 4)
  memory.floats.set(values)
  return memory
}

describe('a session of the runtime', () => {
  let environment: Environment
  let liveBefore: number

  beforeAll(() => {
    environment = openEnvironment({ threads: 2 })
  })
  afterAll(() => environment.release())

  const withProduct = async <T>(
    task: (tools: Awaited<ReturnType<typeof open>>) => Promise<T>,
    times = 0,
  ): Promise<T> => {
    const tools = await open(times)
    try {
      return await task(tools)
    } finally {
      tools.release()
    }
  }
  const open = async (times: number) => {
    const session = await openSession(environment, productGraph(times).model)
    const binding = session.createBinding()
    const weight = filled([1, 2, 3, 4, 5, 6])
    const again = filled([1, 0, 0, 1])
    binding.bindInput('first.weight', { type: 'float32', dims: [2, 3], address: weight.address })
    if (times > 0) binding.bindInput('again.weight', { type: 'float32', dims: [2, 2], address: again.address })
    return {
      binding,
      weight,
      release() {
        binding.release()
        session.release()
        weight.release()
        again.release()
      },
    }
  }

  it('computes with weights that are bound as inputs', async () => {
    await withProduct(async ({ binding }) => {
      const x = filled([1, 0, 0, 0, 1, 1])
      const y = allocateNative(16)
      binding.bindInput('x', { type: 'float32', dims: [2, 3], address: x.address })
      binding.bindOutput('y', { type: 'float32', dims: [2, 2], address: y.address })
      const { runtimeMs } = await binding.run()
      expect([...y.floats]).toEqual([1, 4, 5, 11])
      expect(runtimeMs).toBeGreaterThan(0)
      x.release()
      y.release()
    })
  })

  it('sees weights that change in place, since they are data', async () => {
    await withProduct(async ({ binding, weight }) => {
      const x = filled([1, 1, 1])
      binding.bindInput('x', { type: 'float32', dims: [1, 3], address: x.address })
      binding.bindDeviceOutput('y')
      await binding.run()
      weight.floats.fill(2)
      await binding.run()
      const [value] = binding.takeOutputs()
      expect(valueDims(value)).toEqual([1, 2])
      expect([...valueFloats(value)]).toEqual([6, 6])
      value.release()
      x.release()
    })
  })

  it('survives garbage collection between binding and running', async () => {
    expect(collectGarbage, 'run with --expose-gc').toBeDefined()
    await withProduct(async ({ binding }) => {
      const x = filled([1, 2, 3])
      binding.bindInput('x', { type: 'float32', dims: [1, 3], address: x.address })
      for (let round = 0; round < 20; round++) {
        binding.clearOutputs()
        binding.bindDeviceOutput('y')
        collectGarbage?.()
        const running = binding.run()
        collectGarbage?.()
        await running
        const [value] = binding.takeOutputs()
        collectGarbage?.()
        expect([...valueFloats(value)]).toEqual([14, 32])
        value.release()
      }
      x.release()
    })
  })

  it('leaves the event loop free while it runs', async () => {
    await withProduct(async ({ binding }) => {
      const rows = 20_000
      const x = allocateNative(rows * 12)
      binding.bindInput('x', { type: 'float32', dims: [rows, 3], address: x.address })
      binding.bindDeviceOutput('y')
      let turns = 0
      const timer = setInterval(() => turns++, 1)
      await binding.run()
      clearInterval(timer)
      expect(turns).toBeGreaterThan(0)
      x.release()
    }, 400)
  })

  it('stops a run in flight when its signal aborts, and works again afterwards', async () => {
    await withProduct(async ({ binding }) => {
      const rows = 20_000
      const x = allocateNative(rows * 12)
      binding.bindInput('x', { type: 'float32', dims: [rows, 3], address: x.address })
      binding.bindDeviceOutput('y')
      const controller = new AbortController()
      const running = binding.run(controller.signal)
      setTimeout(() => controller.abort(), 5)
      await expect(running).rejects.toMatchObject({ code: 'CANCELLED', cause: expect.any(OrtError) as unknown })
      await expect(binding.run()).resolves.toBeDefined()
      x.release()
    }, 400)
  })

  it('leaves the event loop free for a long run after many short ones, and stops it', async () => {
    await withProduct(async ({ binding }) => {
      const rows = 40_000
      const x = allocateNative(rows * 12)
      const bind = (count: number): void => {
        binding.bindInput('x', { type: 'float32', dims: [count, 3], address: x.address })
        binding.clearOutputs()
        binding.bindDeviceOutput('y')
      }
      bind(1)
      for (let run = 0; run < 30; run++) await binding.run()
      bind(rows)
      const controller = new AbortController()
      setTimeout(() => controller.abort(), 5)
      await expect(binding.run(controller.signal)).rejects.toMatchObject({ code: 'CANCELLED' })
      x.release()
    }, 400)
  })

  it('does not begin a run whose signal has aborted', async () => {
    await withProduct(async ({ binding }) => {
      await expect(binding.run(AbortSignal.abort())).rejects.toMatchObject({ code: 'CANCELLED' })
    })
  })

  it("turns the runtime's failures into errors with its message", async () => {
    const garbage = Buffer.from('not a model')
    await expect(openSession(environment, garbage)).rejects.toThrow(/CreateSessionFromArray.*protobuf/i)
    await withProduct(async ({ binding }) => {
      const x = filled([1, 2])
      binding.bindInput('x', { type: 'float32', dims: [1, 2], address: x.address })
      binding.bindDeviceOutput('y')
      await expect(binding.run()).rejects.toMatchObject({ code: 'RUNTIME_ERROR' })
      await expect(binding.run()).rejects.toThrow(/invalid dimensions/i)
      expect(() => binding.bindInput('nobody', { type: 'float32', dims: [1], address: x.address })).toThrow(OrtError)
      x.release()
    })
  })

  it('releases every native object, also after failures', async () => {
    liveBefore = liveNativeObjects()
    await withProduct(async ({ binding }) => {
      binding.bindDeviceOutput('y')
      await expect(binding.run()).rejects.toThrow()
      await expect(binding.run(AbortSignal.abort())).rejects.toThrow()
    })
    await expect(openSession(environment, Buffer.from('garbage'))).rejects.toThrow()
    expect(liveNativeObjects()).toBe(liveBefore)
  })

  it('refuses to use what was released', async () => {
    const tools = await open(0)
    const { binding } = tools
    tools.release()
    expect(() => binding.bindDeviceOutput('y')).toThrow('This binding was released.')
    await expect(binding.run()).rejects.toThrow('released')
  })
})
