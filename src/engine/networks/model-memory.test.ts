import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isSwiftdError } from '../errors.js'
import { PORTABLE } from '../graph/target.js'
import { liveNativeObjects } from '../ort/native.js'
import { allocateTensor, nativeOf } from '../pipeline/local-tensor.js'
import { openCheckpoint, type Checkpoint } from '../weights/checkpoint.js'
import { openControlNetComponent } from '../weights/controlnet-file.js'
import type { BaseModel } from './base-model.js'
import { openModelHost, type Evicted, type ModelHost } from './model-host.js'
import { checkpointBytes } from './weight-bytes.js'

const goldens = fileURLToPath(new URL('../../../fixtures/goldens/', import.meta.url))
const sd15 = join(goldens, 'sd15/model')
const lora = join(goldens, 'sd15/lora/c-locon.kohya.safetensors')
const PASS = [1, 4, 8, 8]

describe('models on a device with little memory', () => {
  let directory: string
  let host: ModelHost
  let evicted: Evicted[]
  let first: Checkpoint
  let second: Checkpoint
  const open = (memoryBytes?: number): void => {
    evicted = []
    const limit = memoryBytes !== undefined && { memoryBytes }
    host = openModelHost({ threads: 1, cacheDirectory: directory, ...limit, onEvicted: (each) => evicted.push(each) })
  }
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-memory-'))
    first = openCheckpoint(sd15)
    cpSync(sd15, join(directory, 'copy'), { recursive: true })
    second = openCheckpoint(join(directory, 'copy'))
  })
  afterEach(async () => {
    await host.release()
    rmSync(directory, { recursive: true })
  })

  const pass = async (model: BaseModel): Promise<Float32Array> => {
    const [sample, states, out] = [PASS, [1, 77, 32], PASS].map(allocateTensor)
    sample.data.forEach((_, i) => (sample.data[i] = Math.sin(i)))
    const inputs = { sample: sample.native, timestep: 500, encoderHiddenStates: states.native }
    await model.predictNoise(inputs, nativeOf(out))
    const result = out.data.slice()
    ;[sample, states, out].forEach((tensor) => tensor.release())
    return result
  }
  /** As a job: it makes sure of its memory, computes, and lets go. */
  const work = async (checkpoint: Checkpoint): Promise<Float32Array> => {
    const lease = await host.acquire(checkpoint)
    try {
      await host.prepare(checkpoint, { pass: PASS })
      return await pass(lease.value)
    } finally {
      lease.end()
    }
  }
  /** What one model takes with the work of a pass. */
  const usedByOne = async (): Promise<number> => {
    open()
    await work(first)
    const { usedBytes } = host.memory
    await host.release()
    return usedBytes
  }
  const loaded = (): string[] => host.models().map(({ value: { path } }) => path)

  it('take turns where two do not fit, with the same bits as ever', async () => {
    const bytes = await usedByOne()
    open(bytes + checkpointBytes(first, PORTABLE) / 2)
    const expected = await work(first)
    const compiled = host.graphs.compiled
    for (const checkpoint of [second, first, second]) {
      expect(await work(checkpoint)).toEqual(expected)
      expect(loaded()).toEqual([checkpoint.path])
    }
    expect(evicted.map(({ kind, path }) => [kind, path])).toEqual([
      ['model', first.path],
      ['model', second.path],
      ['model', first.path],
    ])
    expect(evicted[0].neededFor).toContain(second.path)
    // They share their sessions, which stay.
    expect(host.graphs.compiled).toBe(compiled)
  })

  it('stay both where they fit', async () => {
    const bytes = await usedByOne()
    open(bytes + checkpointBytes(second, PORTABLE))
    await work(first)
    await work(second)
    expect(loaded()).toEqual([first.path, second.path])
    expect(host.memory.usedBytes).toBe(host.memory.limitBytes)
  })

  it('stay while somebody uses them: another one is refused, and found room for afterwards', async () => {
    const bytes = await usedByOne()
    open(bytes)
    const lease = await host.acquire(first)
    await expect(host.acquire(second)).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(
        /^The model .*copy needs [\d.]+ [kM]B, but [\d.]+ k?B of [\d.]+ MB are free on cpu:0/,
      ) as string,
    })
    expect(evicted).toEqual([])
    expect(await pass(lease.value)).toHaveLength(256)
    lease.end()
    expect(await work(second)).toHaveLength(256)
  })

  it('go after ControlNets and overlays that nobody uses, and not before pinned ones', async () => {
    open()
    const path = join(goldens, 'sd15/controlnet-a')
    const reference = { path, component: openControlNetComponent(path, first) }
    await work(first)
    ;(await host.controlNets.acquire(reference)).end()
    const { usedBytes } = host.memory
    await host.release()

    open(usedBytes + checkpointBytes(second, PORTABLE) / 2)
    const lease = await host.acquire(first)
    await host.prepare(first, { pass: PASS })
    const overlay = await host.adapters.acquire(lease.value, [{ path: lora, scale: 1 }])
    await overlay.value.whole()
    overlay.end()
    lease.end()
    ;(await host.controlNets.acquire(reference)).end()
    host.controlNets.pin(reference, true)
    await work(second)
    expect(evicted.map(({ kind }) => kind)).toEqual(['lora', 'model'])
    expect(host.controlNets.entries()).toHaveLength(1)

    host.controlNets.pin(reference, false)
    evicted.length = 0
    await work(first)
    expect(evicted.map(({ kind }) => kind)[0]).toBe('controlnet')
  })

  it('are refused work that cannot fit, with the numbers, and do smaller work then', async () => {
    const bytes = await usedByOne()
    open(bytes)
    const lease = await host.acquire(first)
    const before = host.memory
    await expect(host.prepare(first, { pass: [2, 4, 256, 256], decode: [1, 4, 256, 256] })).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(
        /^Computing 2048x2048 pixels in a batch of 2 with the model .* needs .* are free on cpu:0.*--vae-tiling on/,
      ) as string,
    })
    expect(host.memory).toEqual(before)
    await host.prepare(first, { pass: PASS })
    lease.end()
  })

  it('are not loaded for work that does not fit beside them, and no copy is made of their files', async () => {
    const half = openCheckpoint(join(goldens, 'sd21/model'), { variant: 'fp16' })
    const bytes = checkpointBytes(half, PORTABLE)
    open(bytes + 1_000_000)
    const large = { pass: [2, 4, 64, 64] }
    await expect(host.checkFits(half, large)).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(
        /^Computing 512x512 pixels in a batch of 2 .* but 1(\.0)? MB of .* are free on cpu:0/,
      ) as string,
    })
    expect([host.memory.usedBytes, existsSync(join(directory, 'float32'))]).toEqual([0, false])
    // The same limit does for less; what else is on the device could go.
    await host.checkFits(half, { pass: PASS })
    // Once it is loaded its work is refused, or not, by what is there.
    await host.acquire(half)
    await host.checkFits(half, large)
    await expect(host.prepare(half, large)).rejects.toMatchObject({ code: 'OUT_OF_MEMORY' })
  })

  it('are told to be kept in float16 where they do not fit and their files have that', async () => {
    const remedy = '"swiftd config set precision mixed"'
    const half = openCheckpoint(join(goldens, 'sd21/model'), { variant: 'fp16' })
    const messageOf = async (checkpoint: Checkpoint): Promise<string> => {
      open(checkpointBytes(checkpoint, PORTABLE) - 1)
      const refused = await host.acquire(checkpoint).catch((error: unknown) => error)
      await host.release()
      return isSwiftdError(refused) && refused.code === 'OUT_OF_MEMORY' ? refused.message : ''
    }
    expect(await messageOf(half)).toContain(remedy)
    expect(await messageOf(first)).toMatch(/^The model .*raise SWIFTD_DEVICE_MEMORY_MB\.$/)
    // What it tells does.
    const memoryBytes = checkpointBytes(half, PORTABLE) - 1
    host = openModelHost({ threads: 1, cacheDirectory: directory, memoryBytes, precision: 'mixed' })
    ;(await host.acquire(half)).end()
    await host.release()
    open(2 * memoryBytes)
    const work = host.prepare(half, { pass: [2, 4, 256, 256] })
    await expect(work).rejects.toMatchObject({ message: expect.stringContaining(remedy) as string })
  })

  it('give their sessions’ memory, too, where a model of another architecture needs it', async () => {
    const other = openCheckpoint(join(goldens, 'sd21/model'), { variant: 'fp16' })
    open()
    for (const checkpoint of [first, other]) {
      const lease = await host.acquire(checkpoint)
      await host.prepare(checkpoint, { pass: [1, 4, 16, 16] })
      lease.end()
    }
    const { usedBytes, workBytes } = host.memory
    await host.release()

    open(Math.ceil(usedBytes - workBytes / 2))
    const before = liveNativeObjects()
    for (const checkpoint of [first, other, first]) {
      const lease = await host.acquire(checkpoint)
      await host.prepare(checkpoint, { pass: [1, 4, 16, 16] })
      lease.end()
    }
    expect(loaded()).toEqual([first.path])
    expect(await work(first)).toHaveLength(256)
    await host.release()
    expect(liveNativeObjects() - before).toBeLessThanOrEqual(0)
  })

  it('take no memory when they are released', async () => {
    open()
    await work(first)
    await host.unload(first.path)
    const { usedBytes, workBytes } = host.memory
    expect([loaded(), usedBytes]).toEqual([[], workBytes])
  })
})
