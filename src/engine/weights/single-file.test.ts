import { copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openModelHost, type ModelHost } from '../networks/model-host.js'
import { generate, type GenerateResult } from '../pipeline/generate.js'
import { localStages } from '../pipeline/local-stages.js'
import { openTokenizer } from '../text/tokenizer.js'
import { openCheckpoint, type Checkpoint } from './checkpoint.js'
import { readControlNetConfig } from './config.js'
import { ORIGINAL_PREFIX, originalTrunkNames } from './original-names.js'
import { openSafetensors } from './safetensors.js'

const goldens = fileURLToPath(new URL('../../../fixtures/goldens/', import.meta.url))

/** Families with the same weights as a folder and as one file; sd21's file holds the fp16 variant. */
const families = [
  { name: 'sd15', variant: undefined },
  { name: 'sd21', variant: 'fp16' },
  { name: 'sdxl', variant: undefined },
]

describe('a single-file checkpoint', () => {
  let directory: string
  let host: ModelHost

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-single-'))
    host = openModelHost({ threads: 2, cacheDirectory: directory })
  })
  afterAll(async () => {
    await host.release()
    rmSync(directory, { recursive: true })
  })

  const run = async (checkpoint: Checkpoint): Promise<GenerateResult> => {
    const model = await host.load(checkpoint)
    const tokenizers = await Promise.all(
      checkpoint.textEncoders.map((encoder) => openTokenizer(encoder.tokenizerDirectory)),
    )
    return generate({
      checkpoint,
      tokenizers,
      stages: localStages(model),
      request: {
        prompt: 'a red fox',
        negativePrompt: 'blurry',
        width: 64,
        height: 64,
        numInferenceSteps: 3,
        guidanceScale: 5,
        seeds: [3n],
        scheduler: checkpoint.scheduler,
      },
    })
  }

  for (const { name, variant } of families) {
    const folder = join(goldens, name, 'model')
    const file = join(goldens, name, `${name}.original.safetensors`)

    it(`gives the same bits as the ${name} folder, and shares its compiled graphs`, async () => {
      const fromFolder = await run(openCheckpoint(folder, { variant }))
      const compiled = host.graphs.compiled
      const fromFile = await run(openCheckpoint(file, { configuration: folder }))
      expect(Buffer.from(fromFile.latents.buffer)).toEqual(Buffer.from(fromFolder.latents.buffer))
      expect(fromFile.images).toEqual(fromFolder.images)
      expect(host.graphs.compiled).toBe(compiled)
    })
  }

  it('finds the configuration folder beside it that has its name', () => {
    const copy = join(directory, 'fox2.safetensors')
    copyFileSync(join(goldens, 'sd15/sd15.original.safetensors'), copy)
    symlinkSync(join(goldens, 'sd15/model'), join(directory, 'fox2'))
    expect(openCheckpoint(copy).unet.config.heads).toEqual([4, 4, 4, 4])
  })

  it('says what is missing where sizes are unusual and nothing configures them', () => {
    const open = (): Checkpoint => openCheckpoint(join(goldens, 'sd15/sd15.original.safetensors'))
    expect(open).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_MODEL' }))
    expect(open).toThrow(/--config/)
  })

  for (const name of ['sd15', 'sdxl']) {
    it(`in the form of a ${name} ControlNet has every tensor under its original name, bit for bit`, () => {
      const config = readControlNetConfig(join(goldens, name, 'controlnet-a/config.json'))
      const folder = openSafetensors(join(goldens, name, 'controlnet-a/diffusion_pytorch_model.safetensors'))
      const single = openSafetensors(join(goldens, name, 'controlnet-a.original.safetensors'))
      const names = originalTrunkNames(config, ORIGINAL_PREFIX.controlNet)
      for (const tensor of folder.tensors.values()) {
        const original = single.tensors.get(names(tensor.name).name)
        expect(original, tensor.name).toBeDefined()
        expect(Buffer.compare(single.bytesOf(original!), folder.bytesOf(tensor)), tensor.name).toBe(0)
      }
      folder.close()
      single.close()
    })
  }

  it('tells a ControlNet and a LoRA from a base model', () => {
    for (const [file, what] of [
      ['sd15/controlnet-a.original.safetensors', /ControlNet/],
      ['sd15/lora/b.kohya.safetensors', /LoRA/],
    ] as const) {
      expect(() => openCheckpoint(join(goldens, file))).toThrow(what)
    }
  })

  it('refuses pickled files with the reason', () => {
    const path = join(directory, 'model.ckpt')
    writeFileSync(path, 'x')
    expect(() => openCheckpoint(path)).toThrow(/pickled.*safetensors/)
  })
})
