import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MODELS, openDemoEngine, type DemoEngine, type DemoRequest } from '../../../test/support/demo-engine.js'
import { relativeError, roundedToHalf } from '../../../test/support/run-graph.js'
import { toHalves } from '../graph/half.js'
import { PORTABLE, type Precision } from '../graph/target.js'
import { decodeImage } from '../image/png.js'
import { viewMemory } from '../memory/libc.js'
import { liveNativeObjects } from '../ort/native.js'
import { generate, type GenerateResult } from '../pipeline/generate.js'
import { localStages, type LocalAdapters } from '../pipeline/local-stages.js'
import { openTokenizer } from '../text/tokenizer.js'
import { elementCount, tensorBytes, type NativeTensor } from '../tensor.js'
import { openCheckpoint, type Checkpoint } from '../weights/checkpoint.js'
import { widenInto, widenTensor } from '../weights/half.js'
import { ORIGINAL_PREFIX } from '../weights/original-names.js'
import { openSafetensors, type StoredDtype } from '../weights/safetensors.js'
import { writeSafetensors } from '../weights/safetensors-writer.js'
import { openModelHost, type ModelHost } from './model-host.js'
import { checkpointBytes } from './weight-bytes.js'

const goldens = fileURLToPath(new URL('../../../fixtures/goldens/', import.meta.url))
/** Sums in another order. */
const TOLERANCE = 1e-5

/** The largest error of the largest value. */
function errorOf(values: Float32Array, expected: Float32Array): number {
  return relativeError({ dims: [], values }, { dims: [], values: expected })
}

describe('the demo model in mixed precision on a CPU', () => {
  let engine: DemoEngine
  afterEach(() => engine.release())

  const live = liveNativeObjects()
  const hasCopies = (): boolean => existsSync(join(engine.cacheDirectory, 'float32'))
  /** The latents after two steps, in mixed precision and in float32. */
  async function inBoth(draw: () => Promise<GenerateResult>, whileOpen: () => void = () => undefined) {
    const latents: Float32Array[] = []
    for (const precision of ['mixed', 'float32'] as const) {
      engine = await openDemoEngine(precision)
      latents.push((await draw()).latents)
      whileOpen()
      expect(hasCopies()).toBe(precision === 'float32')
      if (precision === 'mixed') await engine.release()
    }
    return latents as [mixed: Float32Array, float32: Float32Array]
  }
  const request: DemoRequest = { prompt: 'a red star', seeds: [5n], numInferenceSteps: 2 }

  it('gives what float32 gives, and widens no file', async () => {
    const [mixed, float32] = await inBoth(() => engine.generate(request))
    expect(errorOf(mixed, float32)).toBeLessThan(TOLERANCE)
  })

  it('gives what float32 gives with a ControlNet', async () => {
    const picture = await decodeImage(readFileSync(join(MODELS, 'examples/canny_0.png')))
    const withControl = () =>
      engine.withControl('canny', picture, (control) =>
        engine.generate({ ...request, controls: [{ control, scale: 1, guessMode: false, start: 0, end: 1 }] }),
      )
    const [mixed, float32] = await inBoth(withControl)
    expect(errorOf(mixed, float32)).toBeLessThan(TOLERANCE)
    expect(errorOf(mixed, (await engine.generate(request)).latents)).toBeGreaterThan(1e-3)
  })

  it('rounds what a LoRA makes of weights, and nothing else of it', async () => {
    const patched: Map<string, Float32Array>[] = []
    const byteLengths: number[] = []
    const withLora = () =>
      engine.withLora('stripes', (prepared) => {
        patched.push(overlayOf(prepared))
        byteLengths.push(engine.host.adapters.entries()[0].value.byteLength)
        return engine.generate({ ...request, adapters: { prepared } })
      })
    const used: number[] = []
    const [mixed, float32] = await inBoth(withLora, () => used.push(engine.host.memory.usedBytes))
    const [inMixed, inFloat32] = patched
    expect(inMixed.size).toBeGreaterThan(50)
    for (const [name, values] of inFloat32) expect(inMixed.get(name), name).toEqual(roundedToHalf(values))
    expect(byteLengths[0]).toBe(byteLengths[1] / 2)
    expect(errorOf(mixed, float32)).toBeLessThan(2e-3)
    expect(errorOf(mixed, (await engine.generate(request)).latents)).toBeGreaterThan(1e-2)
  })

  /** The values of the weights that a LoRA changes in the UNet. */
  function overlayOf({ set }: LocalAdapters): Map<string, Float32Array> {
    return new Map(
      [...(set.unet?.tensors ?? [])].map(([name, tensor]) => {
        const { type, dims, address } = tensor as NativeTensor
        const values = new Float32Array(elementCount(dims))
        const bytes = new Uint8Array(viewMemory(address, tensorBytes(type, dims)))
        widenInto(values, bytes, type === 'float16' ? 'F16' : 'F32')
        return [name, values]
      }),
    )
  }

  it('is counted as it is kept, and leaves nothing behind', async () => {
    engine = await openDemoEngine('mixed')
    const { host, checkpoint } = engine
    const { usedBytes, workBytes } = host.memory
    const bytes = checkpointBytes(checkpoint, await host.graphs.target())
    expect(usedBytes - workBytes).toBe(bytes)
    expect(bytes / checkpointBytes(checkpoint, PORTABLE)).toBeLessThan(0.52)
    await engine.generate(request)
    await engine.release()
    // The two memory infos stay for the process's life.
    expect(liveNativeObjects() - live).toBeLessThanOrEqual(2)
    engine = await openDemoEngine()
  })
})

describe('mixed precision on a CPU', () => {
  let directory: string
  let host: ModelHost | undefined
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-host-precision-'))
  })
  afterEach(async () => {
    await host?.release()
    host = undefined
    rmSync(directory, { recursive: true })
  })

  const draw = async (checkpoint: Checkpoint, precision: Precision): Promise<GenerateResult> => {
    await host?.release()
    host = openModelHost({ threads: 1, cacheDirectory: directory, precision })
    const stages = localStages(await host.load(checkpoint))
    const tokenizers = await Promise.all(
      checkpoint.textEncoders.map(({ tokenizerDirectory }) => openTokenizer(tokenizerDirectory)),
    )
    const request = {
      ...{ prompt: 'a fox', negativePrompt: null, width: 32, height: 32, numInferenceSteps: 2, guidanceScale: 5 },
      ...{ seeds: [7n], scheduler: checkpoint.scheduler },
    }
    return generate({ checkpoint, stages, tokenizers, request })
  }

  it('changes no bit of what files in float32 give, and takes as much memory', async () => {
    const checkpoint = openCheckpoint(join(goldens, 'sd15/model'))
    const results: GenerateResult[] = []
    const used: number[] = []
    for (const precision of ['mixed', 'float32'] as const) {
      results.push(await draw(checkpoint, precision))
      used.push(host?.memory.usedBytes ?? NaN)
    }
    expect(results[0]).toEqual(results[1])
    expect(used[0]).toBe(used[1])
    expect(existsSync(join(directory, 'float32'))).toBe(false)
  })

  it('compiles graphs for files in float16 and in float32 apart', async () => {
    await draw(openCheckpoint(join(goldens, 'sd21/model'), { variant: 'fp16' }), 'mixed')
    const half = host?.graphs.compiled ?? NaN
    await host?.load(openCheckpoint(join(goldens, 'sd21/model')))
    // The text encoder, the UNet's halves and the autoencoder's decoder.
    expect((host?.graphs.compiled ?? NaN) - half).toBe(4)
  })

  it('is not half precision: a CPU told float16 computes in float32', async () => {
    const checkpoint = openCheckpoint(join(goldens, 'sd21/model'), { variant: 'fp16' })
    expect(await draw(checkpoint, 'float16')).toEqual(await draw(checkpoint, 'float32'))
  })

  /** A single file with each network's floats in a type of its own. */
  async function singleFile(types: Readonly<Record<'text' | 'unet' | 'vae', StoredDtype>>): Promise<string> {
    const path = join(directory, `${Object.values(types).join('-')}.safetensors`)
    const file = openSafetensors(join(goldens, 'sdxl/sdxl.original.safetensors'))
    const typeOf = (name: string): StoredDtype =>
      name.startsWith(ORIGINAL_PREFIX.unet) ? types.unet : name.startsWith(ORIGINAL_PREFIX.vae) ? types.vae : types.text
    const floats = [...file.tensors.values()].filter(({ dtype }) => dtype === 'F32')
    const tensors = floats.map((tensor) => {
      const [{ name, shape }, dtype, values] = [tensor, typeOf(tensor.name), widenTensor(file, tensor)]
      const halves = toHalves(values)
      const bytes = dtype === 'F16' ? new Uint8Array(halves.buffer) : new Uint8Array(values.buffer)
      return { name, shape, dtype, chunks: () => [bytes] }
    })
    await writeSafetensors(path, tensors, {})
    file.close()
    return path
  }
  const openSingle = (path: string): Checkpoint => openCheckpoint(path, { configuration: join(goldens, 'sdxl/model') })

  it('is decided for each network of a single file, of which nothing is widened', async () => {
    const checkpoint = openSingle(await singleFile({ text: 'F16', unet: 'F16', vae: 'F32' }))
    const mixed = await draw(checkpoint, 'mixed')
    expect(existsSync(join(directory, 'float32'))).toBe(false)
    const [target, used] = [await host!.graphs.target(), host!.memory]
    expect(used.usedBytes - used.workBytes).toBe(checkpointBytes(checkpoint, target))
    const { latents, images } = await draw(checkpoint, 'float32')
    expect(errorOf(mixed.latents, latents)).toBeLessThan(TOLERANCE)
    expect(mixed.images).toEqual(images)
  })

  it('leaves a network to float32 of which the file has a part in it', async () => {
    const checkpoint = openSingle(await singleFile({ text: 'F16', unet: 'F16', vae: 'F16' }))
    const path = join(directory, 'partly.safetensors')
    const file = openSafetensors(checkpoint.path)
    const wide = `${ORIGINAL_PREFIX.unet}out.2.weight`
    const tensors = [...file.tensors.values()].map((tensor) => {
      if (tensor.name !== wide) return { ...tensor, chunks: () => [file.bytesOf(tensor)] }
      const values = widenTensor(file, tensor)
      return { ...tensor, dtype: 'F32' as const, chunks: () => [new Uint8Array(values.buffer)] }
    })
    await writeSafetensors(path, tensors, {})
    file.close()
    const { latents } = await draw(checkpoint, 'float32')
    rmSync(join(directory, 'float32'), { recursive: true })
    expect(errorOf((await draw(openSingle(path), 'mixed')).latents, latents)).toBeLessThan(TOLERANCE)
    expect(existsSync(join(directory, 'float32'))).toBe(true)
  })
})
