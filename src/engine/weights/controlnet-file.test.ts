import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openCheckpoint, type Component } from './checkpoint.js'
import { readControlNetConfig, type ControlNetConfig } from './config.js'
import { inspectControlNet, openControlNetComponent } from './controlnet-file.js'
import { openSafetensors } from './safetensors.js'

const fixtures = fileURLToPath(new URL('../../../fixtures/', import.meta.url))
const goldens = join(fixtures, 'goldens')
const sd15 = openCheckpoint(join(goldens, 'sd15/model'))
const sdxl = openCheckpoint(join(goldens, 'sdxl/model'))

/** The weights of a ControlNet under the names that the folder's file has for them. */
function weightsOf({ weightsPath, names }: Component<ControlNetConfig>, asked: readonly string[]): [string, Buffer][] {
  const file = openSafetensors(weightsPath)
  const mapping = names(file)
  const weights = asked.map((name): [string, Buffer] => {
    const tensor = file.tensors.get(mapping(name).name)
    return [name, tensor ? Buffer.from(file.bytesOf(tensor)) : Buffer.alloc(0)]
  })
  file.close()
  return weights
}

function namesIn(path: string): string[] {
  const file = openSafetensors(path)
  file.close()
  return [...file.tensors.keys()]
}

describe('ControlNet files', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-controlnet-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  for (const base of [sd15, sdxl]) {
    const family = base === sd15 ? 'sd15' : 'sdxl'

    it(`in the original names are the ${family} folder, weight for weight`, () => {
      const folder = openControlNetComponent(join(goldens, family, 'controlnet-a'), base)
      const file = openControlNetComponent(join(goldens, family, 'controlnet-a.original.safetensors'), base)
      expect(file.config).toEqual(folder.config)
      const asked = namesIn(folder.weightsPath)
      expect(weightsOf(file, asked)).toEqual(weightsOf(folder, asked))
    })

    it(`in diffusers' names are the ${family} folder, weight for weight`, () => {
      const path = join(directory, 'control.safetensors')
      const folder = openControlNetComponent(join(goldens, family, 'controlnet-a'), base)
      copyFileSync(folder.weightsPath, path)
      const file = openControlNetComponent(path, base)
      expect(file.config).toEqual(folder.config)
      const asked = namesIn(folder.weightsPath)
      expect(weightsOf(file, asked)).toEqual(weightsOf(folder, asked))
    })
  }

  it('of another family or size are refused with what both are', () => {
    const refused: unknown = expect.objectContaining({
      code: 'INVALID_WEIGHTS',
      message: expect.stringMatching(
        /controlnet-a.* prompts 64 wide, but the model "model" .* prompts 32 wide/,
      ) as string,
    })
    for (const path of ['sdxl/controlnet-a', 'sdxl/controlnet-a.original.safetensors']) {
      expect(() => openControlNetComponent(join(goldens, path), sd15)).toThrow(refused)
    }
    const demo = openCheckpoint(join(fixtures, 'models/tiny-shapes-xl'))
    expect(() => openControlNetComponent(join(goldens, 'sdxl/controlnet-a'), demo)).toThrow(/made for SDXL models/)
    cpSync(join(goldens, 'sd15/controlnet-a'), directory, { recursive: true })
    const path = join(directory, 'config.json')
    writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, 'utf8')) as object), layers_per_block: 1 }))
    expect(() => openControlNetComponent(directory, sd15)).toThrow(/1, 1, 1, 1 layers .* 2, 2, 2, 2 layers/)
  })

  it('fit an inpainting model of their sizes, whose UNet has more input channels', () => {
    cpSync(join(goldens, 'sd15/controlnet-a'), directory, { recursive: true })
    const inpaint = openCheckpoint(join(goldens, 'sd15-inpaint/model'))
    const asInpaint = {
      ...sd15,
      unet: { ...sd15.unet, config: { ...sd15.unet.config, in_channels: inpaint.unet.config.in_channels } },
    }
    expect(asInpaint.unet.config.in_channels).toBe(9)
    expect(openControlNetComponent(directory, asInpaint).config.in_channels).toBe(4)
  })

  it('leave out of their config.json what diffusers has as defaults', () => {
    const path = join(directory, 'config.json')
    writeFileSync(path, JSON.stringify({ _class_name: 'ControlNetModel', cross_attention_dim: 768 }))
    expect(readControlNetConfig(path)).toMatchObject({
      in_channels: 4,
      block_out_channels: [320, 640, 1280, 1280],
      conditioning_embedding_out_channels: [16, 32, 96, 256],
      heads: [8, 8, 8, 8],
      norm_eps: 1e-5,
    })
  })

  it('of other kinds are refused by their name', () => {
    const cases: [string, RegExp][] = [
      ['sd15/lora/a.peft.safetensors', /is a LoRA/],
      ['sd15/sd15.original.safetensors', /is a base model/],
      ['sd15/model', /no config\.json/],
      ['sd15/model/vae', /is a AutoencoderKL/],
    ]
    for (const [path, sentence] of cases) expect(() => inspectControlNet(join(goldens, path))).toThrow(sentence)
    writeFileSync(join(directory, 'control.pth'), 'x')
    expect(() => inspectControlNet(join(directory, 'control.pth'))).toThrow(/pickled.*version of the ControlNet/)
    expect(() => inspectControlNet(join(directory, 'nothing'))).toThrow(/no ControlNet at/)
  })
})
