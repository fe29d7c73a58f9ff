import { cpSync, mkdtempSync, rmSync, writeFileSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { liveNativeObjects } from '../ort/native.js'
import { allocateTensor, nativeOf } from '../pipeline/local-tensor.js'
import { openCheckpoint } from '../weights/checkpoint.js'
import type { BaseModel, UnetTiming } from './base-model.js'
import { openFence } from './fence.js'
import { openModelHost, type ModelHost } from './model-host.js'

const goldens = fileURLToPath(new URL('../../../fixtures/goldens/', import.meta.url))
const sd15 = join(goldens, 'sd15/model')

describe('a model host', () => {
  let directory: string
  let host: ModelHost
  let liveBefore: number
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-host-'))
    liveBefore = liveNativeObjects()
    host = openModelHost({ threads: 1, cacheDirectory: directory })
  })
  afterEach(async () => {
    await host.release()
    rmSync(directory, { recursive: true })
  })

  type PassOptions = Parameters<BaseModel['predictNoise']>[2]
  const pass = async (model: BaseModel, options?: PassOptions): Promise<Float32Array> =>
    (await timedPass(model, options)).noise
  const timedPass = async (model: BaseModel, options?: PassOptions): Promise<UnetTiming & { noise: Float32Array }> => {
    const sample = allocateTensor([1, 4, 8, 8])
    const states = allocateTensor([1, 77, 32])
    const out = allocateTensor([1, 4, 8, 8])
    sample.data.forEach((_, i) => (sample.data[i] = Math.sin(i)))
    const inputs = { sample: sample.native, timestep: 500, encoderHiddenStates: states.native }
    const timing = await model.predictNoise(inputs, nativeOf(out), options)
    const noise = out.data.slice()
    ;[sample, states, out].forEach((tensor) => tensor.release())
    return { ...timing, noise }
  }

  it('compiles an architecture once for all files that have it', async () => {
    await host.load(openCheckpoint(sd15))
    const compiled = host.graphs.compiled
    const copy = join(directory, 'copy')
    cpSync(sd15, copy, { recursive: true })
    await host.load(openCheckpoint(copy))
    expect(host.graphs.compiled).toBe(compiled)
  })

  it('gives the model that is loaded already', async () => {
    const checkpoint = openCheckpoint(sd15)
    expect(await host.load(checkpoint)).toBe(await host.load(openCheckpoint(sd15)))
    await host.unload(checkpoint.path)
    expect(await host.load(checkpoint)).toBeDefined()
  })

  it('holds nothing native once it is released, also after a failed load', async () => {
    await pass(await host.load(openCheckpoint(sd15)))
    const broken = join(directory, 'broken')
    cpSync(sd15, broken, { recursive: true })
    const wrong = join(goldens, 'sdxl/model/vae/diffusion_pytorch_model.safetensors')
    cpSync(wrong, join(broken, 'text_encoder/model.safetensors'))
    await expect(host.load(openCheckpoint(broken))).rejects.toMatchObject({ code: 'INVALID_WEIGHTS' })
    await host.release()
    // The memory info stays for the process's life.
    expect(liveNativeObjects() - liveBefore).toBeLessThanOrEqual(1)
  })

  it('waits for a fence between encoder and decoder, as part of the encoder, and computes the same', async () => {
    const model = await host.load(openCheckpoint(sd15))
    const fence = await openFence(host.graphs)
    const slow = async (): Promise<void> => {
      await fence()
      await setTimeout(60)
    }
    const fenced = await timedPass(model, { fence: Object.assign(slow, { release: () => undefined }) })
    fence.release()
    // Timers may be early by a millisecond.
    expect(fenced.encoderMs).toBeGreaterThan(58)
    expect(fenced.runtimeMs).toBeCloseTo(fenced.encoderMs + fenced.decoderMs, 6)
    expect(fenced.noise).toEqual(await pass(model))
  })

  it('names the tensors of a file that does not fit its config', async () => {
    const odd = join(directory, 'odd')
    cpSync(sd15, odd, { recursive: true })
    const path = join(odd, 'unet/config.json')
    const config = JSON.parse(readFileSync(path, 'utf8')) as object
    writeFileSync(path, JSON.stringify({ ...config, layers_per_block: 3 }))
    await expect(host.load(openCheckpoint(odd))).rejects.toThrow(
      /does not fit its config\.json.*resnets\.2.*is missing/,
    )
  })

  it('computes the same with any number of loads, runs and other models in between', async () => {
    const model = await host.load(openCheckpoint(sd15))
    const before = await pass(model)
    await pass(await host.load(openCheckpoint(join(goldens, 'sd21/model'), { variant: 'fp16' }))).catch(() => undefined)
    expect(await pass(model)).toEqual(before)
  })

  it('applies adapters and leaves them without a trace', async () => {
    const model = await host.load(openCheckpoint(sd15))
    const before = await pass(model)
    const path = join(goldens, 'sd15/lora/c-locon.kohya.safetensors')
    const leases = [
      await host.adapters.acquire(model, [{ path, scale: 1 }]),
      await host.adapters.acquire(model, [{ path, scale: -0.5 }]),
    ]
    const [one, other] = await Promise.all(leases.map(({ value }) => value.whole()))
    const changed = await pass(model, { adapters: one })
    expect(changed).not.toEqual(before)
    expect(await pass(model, { adapters: other })).not.toEqual(changed)
    expect(await pass(model, { adapters: one })).toEqual(changed)
    expect(await pass(model)).toEqual(before)
    leases.forEach((lease) => lease.end())
  })

  it('refuses an adapter of another architecture with its layers', async () => {
    const model = await host.load(openCheckpoint(sd15))
    const path = join(goldens, 'sdxl/lora/b.kohya.safetensors')
    await expect(host.adapters.acquire(model, [{ path, scale: 1 }])).rejects.toThrow(/another architecture/)
  })

  it('cancels a call with its signal', async () => {
    const model = await host.load(openCheckpoint(sd15))
    await expect(pass(model, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(await pass(model)).toEqual(await pass(model))
  })
})
