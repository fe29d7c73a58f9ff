import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PORTABLE, type Precision } from '../graph/target.js'
import { PROVIDERS } from '../ort/provider.js'
import { elementCount } from '../tensor.js'
import { openAdapter } from '../weights/adapter.js'
import { openCheckpoint } from '../weights/checkpoint.js'
import type { BaseModel } from './base-model.js'
import { openModelHost, type ModelHost } from './model-host.js'

const goldens = fileURLToPath(new URL('../../../fixtures/goldens/', import.meta.url))
const locon = join(goldens, 'sd15/lora/c-locon.kohya.safetensors')
const peft = join(goldens, 'sd15/lora/d.peft.safetensors')

describe('the working memory of patching LoRAs', () => {
  let directory: string
  let host: ModelHost
  let model: BaseModel
  const open = async (precision: Precision = 'float32', memoryBytes = Infinity): Promise<void> => {
    const target = { ...PORTABLE, precision }
    const half = { ...PROVIDERS.cuda, memory: 'Cpu', target, append: () => undefined } as const
    const provider = precision === 'float16' ? half : 'cpu'
    host = openModelHost({ threads: 1, cacheDirectory: directory, provider, memoryBytes })
    model = await host.load(openCheckpoint(join(goldens, 'sd15/model')))
  }
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-patch-work-'))
  })
  afterEach(async () => {
    await host.release()
    rmSync(directory, { recursive: true })
  })

  const compute = async (...paths: string[]): Promise<void> => {
    const lease = await host.adapters.acquire(
      model,
      paths.map((path) => ({ path, scale: 1 })),
    )
    await lease.value.whole().finally(() => lease.end())
  }
  /** Bytes of a file's largest layer in float32. */
  const largestLayer = (path: string): number => {
    const adapter = openAdapter(path)
    const bytes = adapter.layers.map(({ up, down }) => 4 * (elementCount(up.dims) + elementCount(down.dims)))
    adapter.release()
    return Math.max(...bytes)
  }
  /** Values of the largest weight that the model has under LoRAs' layers. */
  const largestWeight = (): number => {
    const overlays = host.adapters.entries().map(({ value }) => value.complete?.unet?.tensors.values())
    return Math.max(...overlays.flatMap((tensors) => [...(tensors ?? [])].map(({ dims }) => elementCount(dims))))
  }

  it('is counted by the largest layer, and once for all LoRAs of the same types', async () => {
    await open()
    const before = host.memory.usedBytes
    await compute(locon)
    const { workBytes } = host.memory
    expect(workBytes / largestLayer(locon)).toBeGreaterThan(1)
    expect(workBytes / largestLayer(locon)).toBeLessThan(1.2)
    const [{ value }] = host.adapters.entries()
    expect(host.memory.usedBytes).toBe(before + workBytes + value.byteLength)
    await compute(peft)
    expect(host.memory.workBytes).toBe(workBytes)
    await compute(locon, peft)
    expect(host.memory.workBytes).toBeGreaterThan(workBytes)
  })

  it('has the weight in float32 besides where the device computes in half precision', async () => {
    await open('float16')
    await compute(locon)
    expect(host.memory.workBytes).toBeGreaterThan(8 * largestWeight())
  })

  it('is refused with the numbers where it does not fit', async () => {
    await open()
    const weights = host.memory.usedBytes
    await compute(locon)
    const { workBytes } = host.memory
    await host.release()
    await open('float32', weights + workBytes / 2)
    await expect(compute(locon)).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(/^Computing the overlay of \S*c-locon\S* needs/) as string,
    })
    expect(host.memory.usedBytes).toBe(weights)
  })

  it('is given back, with the session that has it, where something else needs it', async () => {
    const pass = { pass: [2, 4, 32, 32] }
    await open()
    const weights = host.memory.usedBytes
    await host.prepare(model.checkpoint, pass)
    const passBytes = host.memory.workBytes
    await host.release()

    await open('float32', weights + passBytes)
    await compute(locon)
    const { compiled } = host.graphs
    expect(host.memory.workBytes).toBeGreaterThan(0)
    await host.prepare(model.checkpoint, pass)
    expect(host.memory.workBytes).toBe(passBytes)
    expect(host.graphs.compiled).toBe(compiled - 1)
    // It is made again for the next ones, whose memory it then has to find.
    await expect(compute(peft)).rejects.toMatchObject({ code: 'OUT_OF_MEMORY' })
  })
})
