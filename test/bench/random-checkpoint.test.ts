import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  controlNetShapes,
  countParameters,
  loraShapes,
  textEncoderShapes,
  unetShapes,
  vaeShapes,
  type ParameterShapes,
} from '../../bench/parameter-shapes.js'
import { publishedModel } from '../../bench/published-configs.js'
import { makeRandomLora } from '../../bench/random-checkpoint.js'
import { createRandomValues, toHalf } from '../../bench/random-values.js'
import {
  readControlNetConfig,
  readTextEncoderConfig,
  readUnetConfig,
  readVaeConfig,
} from '../../src/engine/weights/config.js'
import { widenInto } from '../../src/engine/weights/half.js'
import { openSafetensors } from '../../src/engine/weights/safetensors.js'

const goldens = join(import.meta.dirname, '../../fixtures/goldens')

function shapesInFile(path: string): Record<string, readonly number[]> {
  const file = openSafetensors(path)
  const shapes = Object.fromEntries(Array.from(file.tensors.values(), ({ name, shape }) => [name, shape]))
  file.close()
  return shapes
}

const plain = (shapes: ParameterShapes) => Object.fromEntries(shapes)

describe('parameter shapes', () => {
  it.each(['sd15/model', 'sd15-inpaint/model', 'sd21/model', 'sdxl/model', '../models/tiny-shapes-xl'])(
    'are those of the UNet in %s',
    (model) => {
      const directory = join(goldens, model, 'unet')
      const shapes = unetShapes(readUnetConfig(join(directory, 'config.json')))
      expect(plain(shapes)).toEqual(shapesInFile(join(directory, 'diffusion_pytorch_model.safetensors')))
    },
  )

  it.each([
    ['sd15/model', 'old'],
    ['sd21/model', 'new'],
    ['sdxl/model', 'new'],
    ['../models/tiny-shapes-xl', 'new'],
  ] as const)('are those of the autoencoder in %s, in the %s naming', (model, naming) => {
    const directory = join(goldens, model, 'vae')
    const shapes = vaeShapes(readVaeConfig(join(directory, 'config.json')), naming)
    expect(plain(shapes)).toEqual(shapesInFile(join(directory, 'diffusion_pytorch_model.safetensors')))
  })

  it.each([
    'sd15/model/text_encoder',
    'sd21/model/text_encoder',
    'sdxl/model/text_encoder',
    'sdxl/model/text_encoder_2',
  ])('are those of the text encoder in %s', (path) => {
    const directory = join(goldens, path)
    const shapes = textEncoderShapes(readTextEncoderConfig(join(directory, 'config.json')))
    expect(plain(shapes)).toEqual(shapesInFile(join(directory, 'model.safetensors')))
  })

  it.each(['sd15/controlnet-a', 'sd15/controlnet-b', 'sdxl/controlnet-a', '../models/controlnets/canny'])(
    'are those of the ControlNet in %s',
    (path) => {
      const directory = join(goldens, path)
      const shapes = controlNetShapes(readControlNetConfig(join(directory, 'config.json')))
      expect(plain(shapes)).toEqual(shapesInFile(join(directory, 'diffusion_pytorch_model.safetensors')))
    },
  )

  it.each([
    ['SD1.5 UNet', () => unetShapes(publishedModel('sd15').unet), 859_520_964],
    ['SDXL UNet', () => unetShapes(publishedModel('sdxl').unet), 2_567_463_684],
    ['SD1.5 ControlNet', () => controlNetShapes(publishedModel('sd15').controlNet), 361_279_120],
    ['autoencoder', () => vaeShapes(publishedModel('sd15').vae), 83_653_863],
    ['CLIP ViT-L', () => textEncoderShapes(publishedModel('sd15').textEncoders.text_encoder), 123_060_480],
    ['CLIP ViT-bigG', () => textEncoderShapes(publishedModel('sdxl').textEncoders.text_encoder_2), 694_659_840],
  ])('of the %s have the published number of values', (_, shapes, count) => {
    expect(countParameters(shapes())).toBe(count)
  })

  it('of a LoRA cover every attention and feed-forward layer', () => {
    const lora = loraShapes(unetShapes(publishedModel('sd15').unet), 32)
    // 16 transformer blocks with 2 attentions of 4 layers and 2 feed-forward layers, 2 matrices each.
    expect(lora.size).toBe(16 * (2 * 4 + 2) * 2)
    const layer = 'unet.down_blocks.1.attentions.0.transformer_blocks.0'
    expect(lora.get(`${layer}.attn2.to_k.lora_A.weight`)).toEqual([32, 768])
    expect(lora.get(`${layer}.attn2.to_k.lora_B.weight`)).toEqual([640, 32])
    expect(lora.get(`${layer}.ff.net.0.proj.lora_B.weight`)).toEqual([5120, 32])
  })
})

describe('random values', () => {
  function valuesOf(name: string, shape: number[], seed = 0): Float32Array {
    const chunks = [...(createRandomValues('F32', seed).source(name, shape).chunks() as Iterable<Uint8Array>)]
    return new Float32Array(new Uint8Array(Buffer.concat(chunks)).buffer)
  }

  it('are normal, with the deviation that keeps a layer’s output as large as its input', () => {
    const values = valuesOf('conv.weight', [320, 320, 3, 3])
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)
    expect(values).toHaveLength(320 * 320 * 9)
    expect(Math.abs(mean) * Math.sqrt(2880)).toBeLessThan(0.01)
    expect(deviation * Math.sqrt(2880)).toBeCloseTo(1, 1)
  })

  it('are one for norms and zero for biases', () => {
    expect(valuesOf('norm1.weight', [3])).toEqual(Float32Array.of(1, 1, 1))
    expect(valuesOf('norm1.bias', [2])).toEqual(new Float32Array(2))
  })

  it('are equal for one seed and differ between seeds', () => {
    expect(valuesOf('a.weight', [4, 4], 1)).toEqual(valuesOf('a.weight', [4, 4], 1))
    expect(valuesOf('a.weight', [4, 4], 1)).not.toEqual(valuesOf('a.weight', [4, 4], 2))
  })

  it('turns every finite float16 value into itself', () => {
    const halves = Uint16Array.from({ length: 0x7c00 }, (_, half) => half)
    const values = new Float32Array(halves.length)
    widenInto(values, new Uint8Array(halves.buffer), 'F16')
    expect(Uint16Array.from(values, toHalf)).toEqual(halves)
    expect(Uint16Array.from(values.subarray(1), (value) => toHalf(-value) & 0x7fff)).toEqual(halves.subarray(1))
  })
})

describe('makeRandomLora', () => {
  let cacheDirectory = ''
  beforeAll(() => {
    cacheDirectory = mkdtempSync(join(tmpdir(), 'swiftd-random-'))
  })
  afterAll(() => rmSync(cacheDirectory, { recursive: true }))

  it('writes a float16 LoRA of the real size once', async () => {
    const options = { cacheDirectory, family: 'sd15', dtype: 'F16' } as const
    const path = await makeRandomLora(options)
    const expected = loraShapes(unetShapes(publishedModel('sd15').unet), 32)
    expect(shapesInFile(path)).toEqual(plain(expected))
    expect(readdirSync(cacheDirectory)).toHaveLength(1)
    const { ino } = statSync(path)
    expect(await makeRandomLora(options)).toBe(path)
    expect(statSync(path).ino).toBe(ino)
    expect(readFileSync(path).length).toBeGreaterThan(2 * countParameters(expected))
  })
})
