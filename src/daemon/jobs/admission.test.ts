import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { encodePng } from '../../engine/image/png.js'
import type { GenerateRequest } from '../protocol/request.js'
import { admit } from './admission.js'

const GOLDENS = `${process.cwd()}/fixtures/goldens`
const SD15 = `${GOLDENS}/sd15/model`
const INPAINTING = `${GOLDENS}/sd15-inpaint/model`

/** A plain picture as a request carries it. */
async function picture(width: number, height: number, level = 128): Promise<string> {
  const png = await encodePng({ width, height, data: new Uint8Array(3 * width * height).fill(level) })
  return png.toString('base64')
}

describe('admission', () => {
  it('makes every choice that the request leaves open, as the demo model likes it', async () => {
    expect((await admit({ prompt: 'a star', seed: 7 })).request).toMatchObject({
      ...{ model: 'demo', width: 128, height: 128, numInferenceSteps: 20, guidanceScale: 5, seed: 7, numImages: 1 },
    })
  })

  it('takes the defaults of the family and the size of the model for a folder', async () => {
    const { request } = await admit({ prompt: 'x', model: SD15 })
    expect(request).toMatchObject({ model: 'model', modelPath: SD15, numInferenceSteps: 25, guidanceScale: 7.5 })
    expect(request.width % 8).toBe(0)
  })

  it('lets the request win', async () => {
    const request = {
      ...{ prompt: 'x', width: 64, height: 192, numInferenceSteps: 3, guidanceScale: 1, scheduler: 'euler_a' },
      ...{ eta: 0.5, guidanceRescale: 0.7, rng: 'nv', vaeTiling: 'on', promptSyntax: 'a1111', clipSkip: 2 },
    } as const
    expect((await admit(request)).request).toMatchObject(request)
  })

  it('draws another seed for each request without one', async () => {
    const admitted = await Promise.all(Array.from({ length: 8 }, () => admit({ prompt: 'x' })))
    const seeds = admitted.map(({ request }) => request.seed)
    expect(new Set(seeds).size).toBeGreaterThan(1)
    for (const seed of seeds) expect(seed).toBeLessThan(2 ** 32)
  })

  it.each<[string, GenerateRequest, RegExp]>([
    ['MODEL_NOT_FOUND', { prompt: 'x', model: 'nothing' }, /no model "nothing"/],
    ['INVALID_REQUEST', { prompt: 'x', scheduler: 'eular' }, /no sampler "eular"; the nearest are Euler/],
    ['INVALID_REQUEST', { prompt: 'x', width: 130 }, /130/],
    ['MODEL_NOT_FOUND', { prompt: 'x', model: '/' }, /model_index/],
    ['MODEL_NOT_FOUND', { prompt: 'x', vae: '/nothing' }, /no autoencoder \(VAE\) at \/nothing/],
    ['MODEL_NOT_FOUND', { prompt: 'x', loras: [{ name: 'strips' }] }, /LoRA "strips".*stripes/],
    ['INVALID_REQUEST', { prompt: 'x', clipSkip: 3 }, /clip skip of 3 is too large; this model allows 0 to 2/],
    ['INVALID_REQUEST', { prompt: 'x', variationStrength: 0.2 }, /no variation seed; give both/],
    ['INVALID_REQUEST', { prompt: 'x', variationSeed: 1, variationStrength: 0.2 }, /a1111 noise convention/],
    ['INVALID_REQUEST', { prompt: 'x', promptSyntax: 'a1111', prompt2: 'y' }, /second prompt belongs to/],
    ['INVALID_REQUEST', { prompt: 'x', model: INPAINTING }, /is an inpainting model .*; give it an image and a mask/],
    ['INVALID_REQUEST', { prompt: '<lora:stripes:1:1:4>', loraTags: true }, /wants 4 ranks/],
    ['INVALID_REQUEST', { prompt: 'x', image: 'bm8=' }, /^The image cannot be decoded/],
    [
      'INVALID_REQUEST',
      { prompt: 'x', controls: [{ controlNet: 'canny', image: { data: 'bm8=', path: '/edges.png' } }] },
      /^The image for the ControlNet "canny" \(\/edges.png\) cannot be decoded/,
    ],
  ])('refuses with %s before a job exists: %j', async (code, request, sentence) => {
    const refusal = { code, message: expect.stringMatching(sentence) as string }
    await expect(admit(request)).rejects.toMatchObject(refusal)
  })
})

describe('pictures of a request', () => {
  it('are brought to the size of the image, and what is recorded of them tells them from others', async () => {
    const [image, mask] = [await picture(100, 80), await picture(100, 80, 255)]
    const admitted = await admit({
      prompt: 'x',
      image: { data: image, path: '/fox.png' },
      mask,
      width: 64,
      height: 128,
    })
    expect(admitted.request).toMatchObject({
      image: { width: 100, height: 80, path: '/fox.png', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string },
      mask: { width: 100, height: 80 },
      strength: 1,
    })
    expect(admitted.inputs.image).toMatchObject({ width: 64, height: 128 })
    expect(admitted.inputs.mask).toMatchObject({ width: 64, height: 128 })
    expect(new Set(admitted.inputs.mask?.data)).toEqual(new Set([255]))
    expect(JSON.stringify(admitted.request)).not.toContain(image.slice(0, 100))
  })

  it('give the image its size, rounded down to a multiple of 8', async () => {
    const { request } = await admit({ prompt: 'x', image: `data:image/png;base64,${await picture(100, 83)}` })
    expect(request).toMatchObject({ width: 96, height: 80, strength: 0.8 })
  })

  it('are refused where they cannot give it', async () => {
    const sentence = /^The image is 16x128, but images have 64 to 4096 pixels in each direction; give a width\.$/
    await expect(admit({ prompt: 'x', image: await picture(16, 128) })).rejects.toThrow(sentence)
  })

  it('must have one size with their mask', async () => {
    const request = { prompt: 'x', image: await picture(128, 128), mask: await picture(64, 128) }
    await expect(admit(request)).rejects.toThrow(
      "The mask is 64x128, but the image 128x128; give a mask of the image's",
    )
  })

  it('are refused when they are cut off', async () => {
    const png = Buffer.from(await picture(128, 128), 'base64')
    const image = png.subarray(0, png.length - 40).toString('base64')
    await expect(admit({ prompt: 'x', image })).rejects.toThrow(/^The image cannot be decoded .* Give an intact PNG/)
  })
})

describe('LoRAs and ControlNets of a request', () => {
  it('see what a preprocessor makes of a picture', async () => {
    const data = new Uint8Array(3 * 128 * 128).map((_, i) => (i % 384 < 192 ? 0 : 255))
    const image = (await encodePng({ width: 128, height: 128, data })).toString('base64')
    const request = (preprocessor: 'none' | 'canny' | 'invert'): GenerateRequest => {
      return { prompt: 'x', controls: [{ controlNet: 'canny', image, preprocessor }] }
    }
    const [plain, edges, inverted] = await Promise.all(
      (['none', 'canny', 'invert'] as const).map(async (name) => (await admit(request(name))).inputs.controls[0].data),
    )
    expect(Buffer.from(plain).equals(data)).toBe(true)
    expect(inverted[0]).toBe(255)
    const white = edges.filter((level) => level === 255).length
    expect(white).toBeGreaterThan(0)
    expect(white).toBeLessThan(data.length / 20)
  })

  it('get their paths and scales', async () => {
    const { request } = await admit({ prompt: 'x', loras: [{ name: 'stripes', scale: 0.5 }, { name: 'neon' }] })
    expect(request.loras).toEqual([
      {
        name: 'stripes',
        path: `${process.cwd()}/fixtures/models/loras/stripes.safetensors`,
        scale: 0.5,
        textEncoderScale: 0.5,
      },
      { name: 'neon', path: `${process.cwd()}/fixtures/models/loras/neon.safetensors`, scale: 1, textEncoderScale: 1 },
    ])
  })

  it('are read from tags of the prompt in the a1111 syntax, and where it is asked for', async () => {
    const prompt = 'a star <lora:stripes:te=0.5:unet=0.8>'
    const expected = [{ name: 'stripes', scale: 0.8, textEncoderScale: 0.5, inPrompt: true }]
    for (const how of [{ promptSyntax: 'a1111' }, { loraTags: true }]) {
      const { request, notes } = await admit({ prompt, ...how })
      expect(request).toMatchObject({ prompt, loras: expected, loraTags: true })
      expect(notes).toEqual([])
    }
  })

  it('are text in the diffusers syntax, and a note says so', async () => {
    const { request, notes } = await admit({ prompt: '<lora:stripes:1>' })
    expect(request.loras).toEqual([])
    expect(notes).toEqual([expect.stringMatching(/^“<lora:stripes:1>” is read as text/)])
  })

  it('are not read from comments', async () => {
    const { request } = await admit({ prompt: 'a star # <lora:nothing>', promptSyntax: 'a1111' })
    expect(request.loras).toEqual([])
  })

  it('keep how a ControlNet acts, without its pixels', async () => {
    const file = readFileSync('fixtures/models/examples/canny_0.png')
    const admitted = await admit({
      prompt: 'x',
      controls: [{ controlNet: 'canny', image: file.toString('base64'), end: 0.5 }],
    })
    expect(admitted.request.controls).toMatchObject([
      {
        ...{ controlNet: 'canny', path: `${process.cwd()}/fixtures/models/controlnets/canny`, scale: 1, end: 0.5 },
        image: { width: expect.any(Number) as number },
      },
    ])
    expect(admitted.inputs.controls).toMatchObject([{ width: 128, height: 128 }])
  })
})
