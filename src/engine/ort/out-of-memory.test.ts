import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createGraphBuilder } from '../graph/builder.js'
import { allocateNative } from '../memory/native-memory.js'
import { OrtError } from './api.js'
import { openEnvironment, type Environment } from './environment.js'
import { isOutOfMemory } from './out-of-memory.js'
import { openSession } from './session.js'

describe('a message of the runtime', () => {
  it.each([
    'Non-zero status code returned while running Conv node. Status Message: bfc_arena.cc:376 AllocateRawInternal Failed to allocate memory for requested buffer of size 285081600',
    'BFCArena::AllocateRawInternal Available memory of 34699008 is smaller than requested bytes of 945041920',
    'std::bad_alloc',
    'bad allocation',
    'CUDA failure 2: out of memory ; GPU=0 ; hostname=h ; file=cuda_allocator.cc ; line=47 ; expr=cudaMalloc((void**)&p, size);',
    'CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0',
    'WebGPU device error(2): Out of memory',
    'vkAllocateMemory failed with VK_ERROR_OUT_OF_DEVICE_MEMORY',
  ])('means too little memory: %s', (message) => {
    expect(isOutOfMemory(message)).toBe(true)
  })

  it.each([
    'Non-zero status code returned while running Gemm node. Invalid dimensions',
    'CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version',
    'WebGPU device lost (1): Device was destroyed.',
    'Exiting due to terminate flag being set to true.',
  ])('means something else: %s', (message) => {
    expect(isOutOfMemory(message)).toBe(false)
  })
})

describe('a run that the machine has too little memory for', () => {
  let environment: Environment
  beforeAll(() => {
    environment = openEnvironment({ threads: 1 })
  })
  afterAll(() => environment.release())

  /** Repeats a value to (rows, columns). */
  function expandGraph() {
    const g = createGraphBuilder('expand')
    const shape = g.input('shape', 'int64', [2])
    g.output('y', g.node('Expand', [g.floats([1], [1, 1]), shape]), ['rows', 'columns'])
    return g.build()
  }

  it('fails with OUT_OF_MEMORY, and the session goes on with smaller ones', async () => {
    const session = await openSession(environment, expandGraph().model)
    const binding = session.createBinding()
    const shape = allocateNative(16)
    const values = new BigInt64Array(shape.buffer)
    const run = async (rows: bigint, columns: bigint): Promise<unknown> => {
      values.set([rows, columns])
      binding.bindInput('shape', { type: 'int64', dims: [2], address: shape.address })
      binding.clearOutputs()
      binding.bindHostOutput('y')
      return binding.run()
    }
    try {
      // More than any address space has: 2^48 bytes.
      const failed: unknown = await run(2n ** 23n, 2n ** 23n).catch((error: unknown) => error)
      expect(failed).toBeInstanceOf(OrtError)
      expect(failed).toMatchObject({
        code: 'OUT_OF_MEMORY',
        message: expect.stringMatching(/^The device has no memory left; make the image smaller/) as string,
      })
      await run(2n, 3n)
      binding.takeOutputs().forEach((value) => value.release())
    } finally {
      binding.release()
      session.release()
      shape.release()
    }
  })

  it('also tells so where it is the host that has no memory', () => {
    expect(() => allocateNative(2 ** 48)).toThrow(expect.objectContaining({ code: 'OUT_OF_MEMORY' }) as Error)
  })
})
