import { mkdtempSync, rmSync, truncateSync, copyFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openCheckpoint } from '../weights/checkpoint.js'
import { widenTensor } from '../weights/half.js'
import { openSafetensors, type StoredDtype } from '../weights/safetensors.js'
import { writeSafetensors, type TensorSource } from '../weights/safetensors-writer.js'
import type { AdapterSet } from './adapter-set.js'
import type { BaseModel } from './base-model.js'
import { openModelHost, type ModelHost } from './model-host.js'
import { viewMemory } from '../memory/libc.js'
import { tensorBytes, type NativeTensor } from '../tensor.js'

const goldens = fileURLToPath(new URL('../../../fixtures/goldens/', import.meta.url))
const lora = join(goldens, 'sd15/lora/c-locon.kohya.safetensors')

describe('the adapter cache', () => {
  let directory: string
  let host: ModelHost
  let model: BaseModel
  const open = async (adapters: number): Promise<void> => {
    host = openModelHost({ threads: 1, cacheDirectory: directory, budgets: { adapters } })
    model = await host.load(openCheckpoint(join(goldens, 'sd15/model')))
  }
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-adapters-'))
  })
  afterEach(async () => {
    await host.release()
    rmSync(directory, { recursive: true })
  })

  /** The golden LoRA written again, with another type of values or other values. */
  async function rewritten(dtype: StoredDtype, change: (name: string, values: Float32Array) => void = () => undefined) {
    const path = join(directory, `${dtype}.safetensors`)
    const file = openSafetensors(lora)
    const sources = [...file.tensors.values()].map((tensor): TensorSource => {
      const values = widenTensor(file, tensor)
      change(tensor.name, values)
      const bytes = dtype === 'BF16' ? upperHalves(values) : new Uint8Array(values.buffer)
      return { name: tensor.name, dtype, shape: tensor.shape, chunks: () => [bytes] }
    })
    await writeSafetensors(path, sources, {})
    file.close()
    return path
  }
  const upperHalves = (values: Float32Array): Uint8Array => {
    const halves = Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16)
    return new Uint8Array(halves.buffer)
  }
  const whole = async (path: string, scale = 1): Promise<AdapterSet> => {
    const lease = await host.adapters.acquire(model, [{ path, scale }])
    lease.end()
    return lease.value.whole()
  }
  const values = (set: AdapterSet): Float32Array[] =>
    [...(set.unet?.tensors.values() ?? [])].map((tensor) =>
      new Float32Array(viewMemory((tensor as NativeTensor).address, tensorBytes('float32', tensor.dims))).slice(),
    )

  it('gives what is there for the same LoRAs and weights, and computes other weights anew', async () => {
    await open(Infinity)
    const first = await whole(lora)
    expect(await whole(lora)).toBe(first)
    expect(await whole(lora, 0.5)).not.toBe(first)
    expect(host.adapters.entries()).toHaveLength(2)
  })

  it('reads bfloat16 files as they are: the overlay is that of the same values in float32', async () => {
    await open(Infinity)
    const short = await rewritten('BF16')
    const bits = new Uint32Array(1)
    const cut = (value: number): number => {
      new Float32Array(bits.buffer)[0] = value
      bits[0] &= 0xffff_0000
      return new Float32Array(bits.buffer)[0]
    }
    const long = await rewritten('F32', (_, numbers) => numbers.forEach((value, i) => (numbers[i] = cut(value))))
    expect(values(await whole(short))).toEqual(values(await whole(long)))
  })

  it('refuses values that are not finite, with the file among several that has them, and the tensor', async () => {
    await open(Infinity)
    const path = await rewritten('F32', (name, numbers) => {
      if (name.endsWith('lora_up.weight') && name.includes('unet')) numbers[3] = NaN
    })
    const uses = [lora, path].map((each) => ({ path: each, scale: 1 }))
    const lease = await host.adapters.acquire(model, uses)
    await expect(lease.value.whole()).rejects.toMatchObject({
      code: 'INVALID_WEIGHTS',
      message: expect.stringMatching(
        /^\S*F32\.safetensors has values .*\(NaN\) in "lora_unet_\w+\.lora_up\.weight"/,
      ) as string,
    })
    lease.end()
  })

  it('refuses a LoRA of which only a part fits, unless that is asked for', async () => {
    await open(Infinity)
    const path = join(directory, 'partial.safetensors')
    const file = openSafetensors(lora)
    const renamed = (name: string): string => name.replace(/^lora_unet_down_blocks_0/, 'lora_unet_down_blocks_9')
    const sources = [...file.tensors.values()].map((tensor): TensorSource => {
      return { ...tensor, name: renamed(tensor.name), chunks: () => [file.bytesOf(tensor).slice()] }
    })
    await writeSafetensors(path, sources, {})
    file.close()
    await expect(host.adapters.acquire(model, [{ path, scale: 1 }])).rejects.toThrow(
      /fits the model only in part: \d+ of its \d+ layers .*down_blocks_9.*--lora-partial/,
    )
    const lease = await host.adapters.acquire(model, [{ path, scale: 1, partial: true }])
    expect(lease.value.unmatched.get(path)?.length).toBeGreaterThan(0)
    expect((await lease.value.whole()).unet?.tensors.size).toBeGreaterThan(0)
    lease.end()
  })

  it('refuses a truncated file', async () => {
    await open(Infinity)
    const path = join(directory, 'cut.safetensors')
    copyFileSync(lora, path)
    truncateSync(path, 5000)
    await expect(whole(path)).rejects.toMatchObject({ code: 'INVALID_WEIGHTS' })
  })

  it('keeps nothing unused over its budget, and what is used in any case', async () => {
    await open(0)
    const lease = await host.adapters.acquire(model, [{ path: lora, scale: 1 }])
    await lease.value.whole()
    await host.adapters.trim()
    expect(host.adapters.entries()).toHaveLength(1)
    lease.end()
    await host.adapters.trim()
    expect(host.adapters.entries()).toHaveLength(0)
  })
})
