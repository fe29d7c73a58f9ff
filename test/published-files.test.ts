import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  controlNetShapes,
  textEncoderShapes,
  unetShapes,
  vaeShapes,
  type ParameterShapes,
} from '../bench/parameter-shapes.js'
import { publishedModel } from '../bench/published-configs.js'
import { openCheckpoint } from '../src/engine/weights/checkpoint.js'
import {
  parseTextEncoderConfig,
  parseUnetConfig,
  parseVaeConfig,
  type UnetConfig,
} from '../src/engine/weights/config.js'
import { openControlNetComponent } from '../src/engine/weights/controlnet-file.js'
import {
  openClipNames,
  ORIGINAL_PREFIX as PREFIX,
  originalTrunkNames,
  originalVaeNames,
} from '../src/engine/weights/original-names.js'
import { inspectModel } from '../src/daemon/models/inspect.js'
import { storedShapes, writeSparse } from './support/sparse-file.js'

const sd15 = publishedModel('sd15')
const sdxl = publishedModel('sdxl')
const inpaintUnet = parseUnetConfig('inpaint', { ...sd15.files.unet, in_channels: 9 })
const sd21Unet = parseUnetConfig('sd21', {
  ...sd15.files.unet,
  attention_head_dim: [5, 10, 20, 20],
  cross_attention_dim: 1024,
  use_linear_projection: true,
  sample_size: 96,
})
/** OpenCLIP's ViT-H/14: the file has 24 layers, of which SD2.x uses all but the last. */
const clipH = {
  ...{ architectures: ['CLIPTextModel'], hidden_act: 'gelu', hidden_size: 1024, intermediate_size: 4096 },
  ...{ max_position_embeddings: 77, num_attention_heads: 16, num_hidden_layers: 24, vocab_size: 49_408 },
}

const merge = (...parts: ParameterShapes[]): ParameterShapes => new Map(parts.flatMap((part) => [...part]))
const unetPart = (config: UnetConfig) => storedShapes(unetShapes(config), originalTrunkNames(config, PREFIX.unet))
const vaePart = (prefix: string, config = sd15.vae) => {
  return storedShapes(vaeShapes(config), originalVaeNames(config.block_out_channels.length, prefix))
}
const clipPart = (prefix: string) =>
  storedShapes(textEncoderShapes(sd15.textEncoders.text_encoder), (name) => ({ name: prefix + name }))

describe('single files of published sizes, without any configuration', () => {
  let directory: string
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-published-'))
  })
  afterAll(() => rmSync(directory, { recursive: true }))

  function write(name: string, shapes: ParameterShapes, options = {}): string {
    const path = join(directory, `${name}.safetensors`)
    writeSparse(path, shapes, options)
    return path
  }
  const sd15File = (name: string, unet = sd15.unet) =>
    write(name, merge(unetPart(unet), vaePart(PREFIX.vae), clipPart(PREFIX.clip)))
  const sd21File = (name: string, options = {}) => {
    const text = storedShapes(textEncoderShapes(parseTextEncoderConfig('H', clipH)), openClipNames(PREFIX.openClip))
    return write(name, merge(unetPart(sd21Unet), vaePart(PREFIX.vae), text), options)
  }
  const sdxlFile = (name: string) => {
    const text = textEncoderShapes(sdxl.textEncoders.text_encoder_2)
    const both = merge(clipPart(PREFIX.sdxlClip), storedShapes(text, openClipNames(PREFIX.sdxlOpenClip)))
    return write(name, merge(unetPart(sdxl.unet), vaePart(PREFIX.vae, sdxl.vae), both))
  }
  /** What shapes a network; the published folders leave the rest at what it is anyway. */
  const shaped = <T extends object>(config: T): unknown => ({
    ...config,
    sample_size: undefined,
    eos_token_id: undefined,
  })

  it('are SD1.5', () => {
    const { unet, vae, textEncoders, family } = openCheckpoint(sd15File('sd15'))
    expect(family).toBe('sd')
    expect(unet.config).toEqual(sd15.unet)
    expect(shaped(vae.config)).toEqual(shaped(sd15.vae))
    expect(shaped(textEncoders[0].config)).toEqual(shaped(sd15.textEncoders.text_encoder))
  })

  it('are SDXL', () => {
    const { unet, vae, textEncoders, family } = openCheckpoint(sdxlFile('sdxl'))
    expect(family).toBe('sdxl')
    expect(unet.config).toEqual(sdxl.unet)
    expect(shaped(vae.config)).toEqual(shaped(sdxl.vae))
    const expected = [sdxl.textEncoders.text_encoder, sdxl.textEncoders.text_encoder_2].map(shaped)
    expect(textEncoders.map(({ config }) => shaped(config))).toEqual(expected)
  })

  it('are an inpainting UNet of 9 input channels', () => {
    const path = sd15File('inpaint', inpaintUnet)
    expect(openCheckpoint(path).unet.config).toEqual(inpaintUnet)
    expect(inspectModel(path)).toMatchObject({ task: 'inpainting', family: 'sd1', dtype: 'F16' })
  })

  it('are SD2.1, which predicts velocity where its weights or its metadata say so', () => {
    const plain = openCheckpoint(sd21File('sd21'))
    expect(plain.unet.config).toEqual(sd21Unet)
    expect(plain.textEncoders[0].config).toMatchObject({ num_hidden_layers: 23, hidden_act: 'gelu' })
    const predicts = (name: string, options: object): unknown =>
      openCheckpoint(sd21File(name, options)).scheduler.config.prediction_type
    const bias = 'model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias'
    // Half of them 0.25 and half -0.25 in float16.
    const wide = Uint16Array.from({ length: 320 }, (_, index) => (index % 2 ? 0x3400 : 0xb400))
    expect(plain.scheduler.config.prediction_type).toBe('epsilon')
    expect(predicts('sd21-v', { values: { [bias]: wide } })).toBe('v_prediction')
    expect(predicts('sd21-said', { metadata: { 'modelspec.prediction_type': 'v' } })).toBe('v_prediction')
    expect(inspectModel(sd21File('sd21-family')).family).toBe('sd2')
  })

  it('may lack an autoencoder, where another is given that knows the same latents', () => {
    const path = write('bare', merge(unetPart(sd15.unet), clipPart(PREFIX.clip)))
    expect(() => openCheckpoint(path)).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED_MODEL',
        message: expect.stringMatching(/no autoencoder .*--vae/) as string,
      }),
    )
    const vae = write('bare-vae', vaePart(''))
    const opened = openCheckpoint(path, { vae })
    expect(opened.vae.weightsPath).toBe(vae)
    expect(shaped(opened.vae.config)).toEqual(shaped(sd15.vae))
    expect(opened.vaeScale).toBe(8)
    expect(inspectModel(path, { vae }).components.map(({ name, file }) => [name, file])).toEqual([
      ['text_encoder', path],
      ['unet', path],
      ['vae', vae],
    ])
    const wide = write('wide-vae', vaePart('', { ...sd15.vae, latent_channels: 16 }))
    expect(() => openCheckpoint(path, { vae: wide })).toThrow(/makes latents of 16 channels .* needs 4 channels/)
  })

  it('are refused as an SDXL refiner, by its name', () => {
    const text = textEncoderShapes(sdxl.textEncoders.text_encoder_2)
    const only = storedShapes(text, openClipNames(PREFIX.refinerOpenClip))
    const path = write('refiner', merge(unetPart(sdxl.unet), vaePart(PREFIX.vae, sdxl.vae), only))
    expect(() => openCheckpoint(path)).toThrow(/is an SDXL refiner/)
  })

  it('are ControlNets in both namings, with the prefix of the training program and without', () => {
    for (const { model, base } of [
      { model: sd15, base: openCheckpoint(sd15File('base')) },
      { model: sdxl, base: openCheckpoint(sdxlFile('base-xl')) },
    ]) {
      const shapes = controlNetShapes(model.controlNet)
      const stored = ['control_model.', ''].map((prefix) =>
        storedShapes(shapes, originalTrunkNames(model.controlNet, prefix)),
      )
      for (const [index, each] of [shapes, ...stored].entries()) {
        const { config } = openControlNetComponent(write(`control-${index}`, each), base)
        expect(config).toEqual(model.controlNet)
      }
    }
  })

  it('are autoencoders in both namings, with the prefix of a whole model and without', () => {
    const base = sd15File('with-vae')
    const own = openCheckpoint(base).vae
    for (const shapes of [vaePart(PREFIX.vae), vaePart(''), vaeShapes(sd15.vae), vaeShapes(sd15.vae, 'old')]) {
      const path = write('vae', shapes)
      const { vae } = openCheckpoint(base, { vae: path })
      expect(vae).toMatchObject({ config: own.config, weightsPath: path })
    }
  })

  it('are refused as autoencoders if their latents are others, by what they and the model have', () => {
    const base = sd15File('for-others')
    const wide = parseVaeConfig('wide', { ...sd15.files.vae, latent_channels: 16 })
    const open = (config: typeof wide) => openCheckpoint(base, { vae: write('other', vaePart('', config)) })
    expect(() => open(wide)).toThrow(
      /16 channels at 1\/8 of the size, but the model "for-others" needs 4 channels at 1\/8/,
    )
    const blocks = { block_out_channels: [128, 256, 512] }
    const types = {
      down_block_types: Array(3).fill('DownEncoderBlock2D'),
      up_block_types: Array(3).fill('UpDecoderBlock2D'),
    }
    const shallow = parseVaeConfig('shallow', { ...sd15.files.vae, ...blocks, ...types })
    expect(() => open(shallow)).toThrow(expect.objectContaining({ code: 'INVALID_WEIGHTS' }))
    expect(() => openCheckpoint(base, { vae: base.replace('for-others', 'sd21-v') })).not.toThrow()
    expect(() => openCheckpoint(base, { vae: write('unet', unetShapes(sd15.unet)) })).toThrow(
      /is a UNet of a diffusers folder/,
    )
  })
})
