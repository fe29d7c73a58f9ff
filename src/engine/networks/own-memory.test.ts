import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PORTABLE, type GraphTarget } from '../graph/target.js'
import { findSwiftshader, useSwiftshader } from '../../../test/support/swiftshader.js'
import type { Traffic } from '../ort/environment.js'
import { liveNativeObjects } from '../ort/native.js'
import { PROVIDERS, type Provider } from '../ort/provider.js'
import { allocateTensor, nativeOf } from '../pipeline/local-tensor.js'
import { openCheckpoint } from '../weights/checkpoint.js'
import { openSafetensors } from '../weights/safetensors.js'
import { tensorBytes } from '../tensor.js'
import type { AdapterSet } from './adapter-set.js'
import type { BaseModel } from './base-model.js'
import { openModelHost, type ModelHost } from './model-host.js'

const goldens = fileURLToPath(new URL('../../../fixtures/goldens/', import.meta.url))
const lora = join(goldens, 'sd15/lora/c-locon.kohya.safetensors')

/** The code of a GPU's worker on the CPU, so that its results can be compared to the bit. */
const onCpu = (provider: Provider, target: GraphTarget = PORTABLE): Provider => {
  return { ...provider, memory: 'Cpu', target, append: () => undefined }
}
const OWN_MEMORY = onCpu(PROVIDERS.webgpu)

const swiftshader = findSwiftshader()
if (swiftshader) useSwiftshader(swiftshader)
/** Where bytes are counted: what is counted on a real device of its own memory crossed in truth. */
const COUNTED = [OWN_MEMORY, ...(swiftshader ? [PROVIDERS.webgpu] : [])].map(
  (provider) => [`${provider.name} in ${provider.memory}`, provider] as const,
)

/** A device in software compiles each shader of its own. */
const SLOW = { timeout: 300_000 }

const LATENTS = [2, 4, 8, 8]
const PROMPT = [2, 77, 32]
const latentBytes = tensorBytes('float32', LATENTS)
const promptBytes = tensorBytes('float32', PROMPT)
const TIMESTEP_BYTES = 4

describe('a device with memory of its own', () => {
  let directory: string
  let host: ModelHost
  const live = liveNativeObjects()
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-own-memory-'))
  })
  afterEach(async () => {
    await host.release()
    rmSync(directory, { recursive: true })
  })

  const load = (provider: Provider = OWN_MEMORY, model = 'sd15/model', variant?: string): Promise<BaseModel> => {
    host = openModelHost({ threads: 1, cacheDirectory: directory, provider })
    return host.load(openCheckpoint(join(goldens, model), { variant }))
  }

  /** A pass on latents and a prompt that are written anew each time, at the same addresses. */
  function createPasses(model: BaseModel, prompt = PROMPT) {
    const [sample, states, out] = [LATENTS, prompt, LATENTS].map((dims) => allocateTensor(dims))
    const inputs = { sample: nativeOf(sample), encoderHiddenStates: nativeOf(states) }
    return {
      async run(seed: number, promptSeed: number, adapters?: AdapterSet): Promise<Float32Array> {
        sample.data.forEach((_, i) => (sample.data[i] = Math.sin(i * seed)))
        states.data.forEach((_, i) => (states.data[i] = Math.cos(i * promptSeed)))
        await model.predictNoise({ ...inputs, timestep: 500 }, nativeOf(out), { ...(adapters && { adapters }) })
        return out.data.slice()
      },
      release: () => [sample, states, out].forEach((each) => each.release()),
    }
  }

  async function adaptersOf(model: BaseModel): Promise<AdapterSet> {
    const lease = await host.adapters.acquire(model, [{ path: lora, scale: 0.7 }])
    lease.end()
    return lease.value.whole()
  }

  /** What crossed since the last call. */
  function createMeter(): () => Traffic {
    let last: Traffic = { toDevice: 0, toHost: 0 }
    return () => {
      const { toDevice, toHost } = host.graphs.environment.traffic
      const crossed = { toDevice: toDevice - last.toDevice, toHost: toHost - last.toHost }
      last = { toDevice, toHost }
      return crossed
    }
  }

  it.each(['webgpu', 'cuda'] as const)('gives the same bits as the host, by the code of %s', async (name) => {
    const compute = async (provider: Provider): Promise<Float32Array[]> => {
      const model = await load(provider)
      const passes = createPasses(model)
      const adapters = await adaptersOf(model)
      const results = [
        await passes.run(1, 1),
        await passes.run(2, 1),
        await passes.run(2, 2),
        await passes.run(2, 2, adapters),
        await passes.run(2, 2),
      ]
      passes.release()
      return results
    }
    const expected = await compute(PROVIDERS.cpu)
    await host.release()
    expect(await compute(onCpu(PROVIDERS[name]))).toEqual(expected)
    expect(new Set(expected.map((values) => Buffer.from(values.buffer).toString('hex'))).size).toBe(4)
  })

  it.each(COUNTED)('gets weights once, then latents, timestep and new prompts (%s)', SLOW, async (_, provider) => {
    host = openModelHost({ threads: 1, cacheDirectory: directory, provider })
    // The device is tried out once before anything is loaded.
    await host.graphs.target()
    const meter = createMeter()
    meter()
    const model = await host.load(openCheckpoint(join(goldens, 'sd15/model')))
    const weights = meter()
    const { unet, textEncoders, vae } = model.checkpoint
    const files = [unet, ...textEncoders, vae].reduce((sum, { weightsPath }) => sum + statSync(weightsPath).size, 0)
    expect(weights.toHost).toBe(0)
    expect(weights.toDevice).toBeGreaterThan(0.5 * files)
    expect(weights.toDevice).toBeLessThan(files)

    const passes = createPasses(model)
    await passes.run(1, 1)
    // The encoder and the decoder each have the prompt.
    expect(meter()).toEqual({ toDevice: latentBytes + TIMESTEP_BYTES + 2 * promptBytes, toHost: latentBytes })
    await passes.run(2, 1)
    expect(meter()).toEqual({ toDevice: latentBytes + TIMESTEP_BYTES, toHost: latentBytes })
    await passes.run(2, 2)
    expect(meter()).toEqual({ toDevice: latentBytes + TIMESTEP_BYTES + 2 * promptBytes, toHost: latentBytes })
    passes.release()
  })

  it.each(COUNTED)('gets only the LoRA for an overlay, and nothing to use it (%s)', SLOW, async (_, provider) => {
    const model = await load(provider)
    const passes = createPasses(model)
    await passes.run(1, 1)
    const meter = createMeter()
    meter()
    const adapters = await adaptersOf(model)
    const file = openSafetensors(lora)
    const matrices = [...file.tensors.values()].filter(({ name }) => !name.endsWith('.alpha'))
    const bytes = matrices.reduce((sum, { byteLength }) => sum + byteLength, 0)
    file.close()
    const layers = matrices.length / 2
    const patched = meter()
    // A factor for each layer; a check comes back for each weight.
    expect(patched.toDevice).toBe(bytes + 4 * layers)
    expect(patched.toHost).toBeLessThanOrEqual(4 * layers)

    await passes.run(1, 1, adapters)
    expect(meter()).toEqual({ toDevice: latentBytes + TIMESTEP_BYTES, toHost: latentBytes })
    passes.release()
  })

  // What is the largest error, of the largest value: half precision's own, and that of sums in another order.
  it.each([
    ['float16', 1e-6, 0.01],
    ['mixed', 0, 1e-6],
  ] as const)('takes files in half precision as they are, and computes in %s', async (precision, least, most) => {
    const prompt = [2, 77, 40]
    const compute = async (provider: Provider): Promise<Float32Array> => {
      const model = await load(provider, 'sd21/model', 'fp16')
      const passes = createPasses(model, prompt)
      const values = await passes.run(1, 1)
      passes.release()
      return values
    }
    const expected = await compute(PROVIDERS.cpu)
    await host.release()
    rmSync(join(directory, 'float32'), { recursive: true })
    const computed = await compute(onCpu(PROVIDERS.cuda, { ...PORTABLE, precision }))
    // No copy in float32 was made of the files.
    expect(existsSync(join(directory, 'float32'))).toBe(false)
    const largest = Math.max(...expected.map(Math.abs))
    const error = Math.max(...computed.map((value, index) => Math.abs(value - expected[index]))) / largest
    expect(error).toBeGreaterThanOrEqual(least)
    expect(error).toBeLessThan(most)
  })

  it('leaves nothing behind', async () => {
    const model = await load()
    const passes = createPasses(model)
    await passes.run(1, 1, await adaptersOf(model))
    passes.release()
    await host.release()
    // The two memory infos stay for the process's life.
    expect(liveNativeObjects() - live).toBeLessThanOrEqual(2)
  })
})
