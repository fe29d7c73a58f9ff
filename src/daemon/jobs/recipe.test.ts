import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseInfotext } from '../../engine/image/infotext.js'
import { encodePng } from '../../engine/image/png.js'
import { openCheckpoint } from '../../engine/weights/checkpoint.js'
import type { GenerateRequest } from '../protocol/request.js'
import { RecipeSchema } from '../protocol/recipe.js'
import { admit } from './admission.js'
import { imageTexts } from './image-metadata.js'
import { readRecipe } from './recipe.js'
import { hashWeights } from './weight-hashes.js'

const PIXELS = { width: 128, height: 128, data: new Uint8Array(3 * 128 * 128) }
const FACTS = { sampler: 'Euler', scheduleType: 'Automatic' }
const directory = mkdtempSync(join(tmpdir(), 'swiftd-recipe-'))
let picture: string

beforeAll(async () => {
  picture = (await encodePng(PIXELS)).toString('base64')
})
afterAll(() => rmSync(directory, { recursive: true }))

/** The texts of image 1 of a request. */
async function textsOf(value: GenerateRequest, loraPatchStep?: number): Promise<Record<string, string>> {
  const { request } = await admit(value)
  const checkpoint = openCheckpoint(request.modelPath, request.modelOptions)
  const hashes = await hashWeights(request, checkpoint, directory)
  const facts = { ...FACTS, hashes, ...(loraPatchStep !== undefined && { loraPatchStep }) }
  return imageTexts(request, { index: 1, seed: request.seed + 1 }, facts)
}

/** What the texts of a PNG make again, as a client gets it. */
async function recipeOf(texts: Record<string, string>) {
  return RecipeSchema.parse(JSON.parse(JSON.stringify(readRecipe(await encodePng(PIXELS, texts)))))
}

const FULL: GenerateRequest = {
  ...{
    prompt: 'a [cat:dog:0.5] <lora:neon:0.5>',
    negativePrompt: 'blurry',
    promptSyntax: 'a1111',
    emphasis: 'no-norm',
  },
  ...{ noiseConvention: 'a1111', rng: 'nv', seed: 7, variationSeed: 50, variationStrength: 0.5, numImages: 2 },
  ...{ width: 64, height: 128, numInferenceSteps: 9, guidanceScale: 3, guidanceRescale: 0.5, eta: 0.2, clipSkip: 2 },
  ...{ scheduler: 'DPM++ 2M Karras', vae: 'demo', vaeTiling: 'on', resizeMode: 'just-resize', strength: 0.6 },
  ...{ loras: [{ name: 'stripes', scale: 0.8, textEncoderScale: 0 }], loraBound: 0.5, loraPartial: true },
}

describe('the record of an image', () => {
  it('makes the same request again', async () => {
    const image = { data: picture, path: '/pictures/fox.png' }
    const controls = [{ controlNet: 'canny', image, scale: 0.5, end: 0.6, guessMode: true }]
    const original = { ...FULL, image, mask: picture, controls }
    const recipe = await recipeOf(await textsOf(original))
    const source = { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string, path: '/pictures/fox.png' }
    expect(recipe).toMatchObject({ index: 1, alone: { seed: 8, variationSeed: 51 }, image: source, notes: [] })
    expect(recipe.mask?.path).toBeUndefined()

    const again = {
      ...recipe.request,
      ...{ image, mask: picture },
      controls: recipe.controls.map(({ settings }) => ({ ...settings, image })),
    }
    const [first, second] = await Promise.all([admit(original), admit(again)])
    expect(second.request).toEqual(first.request)
    expect(second.request.loras.map(({ name, inPrompt }) => [name, inPrompt])).toEqual([
      ['stripes', undefined],
      ['neon', true],
    ])
  })

  it('fixes the step at which LoRAs took effect', async () => {
    const { request } = await recipeOf(await textsOf({ prompt: 'x', loras: [{ name: 'stripes' }], loraBound: 3 }, 2))
    expect([request.loraAt, request.loraBound]).toEqual([2, undefined])
  })

  it('leaves out where the job ran', async () => {
    const { request } = await recipeOf(await textsOf({ prompt: 'x', placement: { baseDevice: 'cpu:1' } }))
    expect(request.placement).toBeUndefined()
  })

  it('has no pixels', async () => {
    const texts = await textsOf({ ...FULL, image: picture, mask: picture })
    expect(JSON.stringify(texts)).not.toContain(picture.slice(0, 60))
  })
})

describe("stable-diffusion-webui's parameters", () => {
  it('name everything by its names', async () => {
    const controls = [{ controlNet: 'canny', image: picture, scale: 0.5, end: 0.6, controlMode: 'prompt' as const }]
    const { parameters } = await textsOf({ ...FULL, image: picture, mask: picture, controls }, 4)
    expect(parseInfotext(parameters)).toEqual({
      ...{ prompt: FULL.prompt, negativePrompt: 'blurry', steps: 9, sampler: 'Euler', scheduleType: 'Automatic' },
      ...{
        cfgScale: 3,
        seed: 8,
        width: 64,
        height: 128,
        model: 'demo',
        denoisingStrength: 0.6,
        clipSkip: 2,
        rng: 'NV',
      },
      modelHash: expect.stringMatching(/^[0-9a-f]{10}$/) as string,
      ...{ vae: 'demo', vaeHash: expect.stringMatching(/^[0-9a-f]{10}$/) as string },
      ...{ variationSeed: 51, variationSeedStrength: 0.5 },
      controlNets: [
        {
          ...{ Module: 'none', Weight: '0.5', 'Resize Mode': 'Just Resize' },
          Model: expect.stringMatching(/^canny \[[0-9a-f]{8}\]$/) as string,
          ...{ 'Guidance Start': '0.0', 'Guidance End': '0.6', 'Control Mode': 'My prompt is more important' },
        },
      ],
      loraHashes: {
        stripes: expect.stringMatching(/^[0-9a-f]{12}$/) as string,
        neon: expect.stringMatching(/^[0-9a-f]{12}$/) as string,
      },
      extra: {
        ...{ 'Inpaint area': 'Whole picture', 'Masked content': 'original', 'Eta DDIM': '0.2', Emphasis: 'No norm' },
        ...{ 'Prompt syntax': 'a1111', 'Noise convention': 'a1111', 'Guidance rescale': '0.5', 'Lora patch step': '4' },
      },
      version: expect.stringMatching(/^swiftd v/) as string,
    })
  })

  it('are enough where the record is missing', async () => {
    const { parameters } = await textsOf({ ...FULL, image: picture })
    const recipe = await recipeOf({ parameters, swiftd: '{"version": "99"}' })
    expect(recipe.request).toMatchObject({
      ...{ prompt: FULL.prompt, negativePrompt: 'blurry', promptSyntax: 'a1111', emphasis: 'no-norm', eta: 0.2 },
      ...{ noiseConvention: 'a1111', rng: 'nv', seed: 8, variationSeed: 51, variationStrength: 0.5, strength: 0.6 },
      ...{ width: 64, height: 128, numInferenceSteps: 9, guidanceScale: 3, clipSkip: 2, model: 'demo' },
    })
    expect(recipe.image).toEqual({})
  })

  it('of other programs are read as there: weights, a seed for each image, noise of a GPU', async () => {
    const parameters =
      'a (fox:1.2)\nNegative prompt: lowres\nSteps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, ' +
      'Seed: 1234, Size: 512x768, Model hash: 6ce0161689, Model: demo, Clip skip: 2, ADetailer: yes, Version: v1.10.1'
    const { request, notes } = await recipeOf({ parameters })
    expect(request).toMatchObject({
      ...{ prompt: 'a (fox:1.2)', negativePrompt: 'lowres', numInferenceSteps: 28, scheduler: 'DPM++ 2M Karras' },
      ...{ guidanceScale: 7, seed: 1234, width: 512, height: 768, model: 'demo', clipSkip: 2, loraTags: true },
      ...{ promptSyntax: 'a1111', noiseConvention: 'a1111', rng: 'nv' },
    })
    expect(notes).toEqual(['These settings of the image are not heeded: ADetailer.'])
    await expect(admit(request)).resolves.toMatchObject({ request: { width: 512, clipSkip: 2 } })
  })

  it('tell image to image from a second pass that makes the image larger', async () => {
    const settings = 'Steps: 2, Seed: 1, Size: 64x64, RNG: CPU, Denoising strength: 0.5'
    const picture = await recipeOf({ parameters: `x\n${settings}` })
    expect([picture.image, picture.mask, picture.request.strength]).toEqual([{}, undefined, 0.5])
    expect(picture.request.rng).toBe('cpu')
    expect((await recipeOf({ parameters: `x\n${settings}, Mask blur: 4` })).mask).toEqual({})
    const upscaled = await recipeOf({ parameters: `x\n${settings}, Hires upscale: 2` })
    expect([upscaled.image, upscaled.request.strength]).toEqual([undefined, undefined])
    expect(upscaled.notes).toEqual(['These settings of the image are not heeded: Hires upscale.'])
  })

  it('of an image with ControlNets say what is needed', async () => {
    const unit =
      'Module: canny, Model: depth [0123abcd], Weight: 0.7, Resize Mode: Resize and Fill, Threshold A: 50, ' +
      'Threshold B: 150, Guidance Start: 0.1, Guidance End: 0.9, Control Mode: ControlNet is more important'
    const { controls } = await recipeOf({ parameters: `x\nSteps: 2, Seed: 1, ControlNet 0: "${unit}"` })
    expect(controls).toEqual([
      {
        settings: {
          ...{ controlNet: 'depth', preprocessor: 'canny', lowThreshold: 50, highThreshold: 150, scale: 0.7 },
          ...{ resizeMode: 'resize-and-fill', start: 0.1, end: 0.9, controlMode: 'control', guessMode: false },
        },
        picture: {},
      },
    ])
  })
})

it.each([
  [{}, /^The image does not say how it was made: it has no generation parameters; /],
  [{ workflow: '{}' }, /it has a workflow of ComfyUI only/],
  [{ parameters: `x\nSteps: 2, Seed: ${2n ** 60n}, Size: 8x8` }, /has the seed 1152921504606846976, but at most/],
])('an image without a usable recipe is refused: %j', async (texts, sentence) => {
  const png = await encodePng(PIXELS, texts)
  expect(() => readRecipe(png)).toThrow(
    expect.objectContaining({ code: 'INVALID_REQUEST', message: expect.stringMatching(sentence) as string }),
  )
})
