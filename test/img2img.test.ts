import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DaemonClient } from '../src/daemon/client/client.js'
import { parseInfotext } from '../src/engine/image/infotext.js'
import type { RgbImage } from '../src/engine/image/pixels.js'
import { encodePng, readPngText } from '../src/engine/image/png.js'
import { difference, draw } from './support/draw.js'
import { createSandbox, type Sandbox } from './support/sandbox.js'

const STAR = 'a large red star on a blue background'
const CIRCLE = 'a large green circle on a yellow background'
const GOLDENS = `${process.cwd()}/fixtures/goldens`
let sandbox: Sandbox
let client: DaemonClient
/** A picture of the star, in base64 and as pixels. */
let image: string
let pixels: RgbImage

beforeAll(async () => {
  sandbox = createSandbox()
  await sandbox.run(['daemon', 'start'])
  client = sandbox.connect()
  const star = await draw(client, { prompt: STAR, seed: 7 })
  image = star.pngs[0].toString('base64')
  pixels = star.images[0]
})
afterAll(() => sandbox.dispose())

/** White where `repaint` says so. */
async function maskOf(width: number, height: number, repaint: (x: number, y: number) => boolean): Promise<string> {
  const data = new Uint8Array(3 * width * height)
  for (let i = 0; i < data.length; i++) {
    const pixel = Math.floor(i / 3)
    data[i] = repaint(pixel % width, Math.floor(pixel / width)) ? 255 : 0
  }
  return (await encodePng({ width, height, data })).toString('base64')
}

const noise = (width: number, height: number): Promise<Buffer> => {
  return encodePng({ width, height, data: Uint8Array.from({ length: 3 * width * height }, (_, i) => (i * 73) % 256) })
}

describe('image to image', () => {
  it('stays the closer to the picture the less strength it has', async () => {
    const drawn = await Promise.all(
      [0.1, 0.3, 1].map((strength) =>
        draw(client, { prompt: 'a small red star on a blue background', seed: 3, image, strength }),
      ),
    )
    const [near, between, far] = drawn.map(({ images }) => difference(images[0], pixels))
    expect(near).toBeLessThan(12)
    expect(between).toBeGreaterThan(1.5 * near)
    expect(far).toBeGreaterThan(between)
    const same = await draw(client, { prompt: STAR, seed: 3, image, strength: 0.3 })
    expect(difference(same.images[0], pixels)).toBeLessThan(8)
  })

  it('runs only its share of the steps and says so in the metadata', async () => {
    const { events, pngs } = await draw(client, { prompt: CIRCLE, seed: 3, image, strength: 0.3 })
    expect(events.filter(({ type }) => type === 'step')).toHaveLength(6)
    const text = readPngText(pngs[0]).parameters
    expect(parseInfotext(text)).toMatchObject({ denoisingStrength: 0.3, steps: 20, seed: 3 })
  })

  it('takes a picture of another size, brought to that of the image', async () => {
    const picture = (await noise(100, 60)).toString('base64')
    const { images } = await draw(client, { prompt: STAR, image: picture, width: 64, height: 96, strength: 0.5 })
    expect(images[0]).toMatchObject({ width: 64, height: 96 })
  })
})

describe('inpainting', () => {
  const right = (x: number): boolean => x >= 64

  it('repaints the mask and keeps what is outside of it, with a UNet that knows no masks', async () => {
    const mask = await maskOf(128, 128, right)
    const { images } = await draw(client, { prompt: CIRCLE, seed: 3, image, mask })
    // The autoencoder sees some pixels beyond the edge, and loses a little everywhere.
    expect(difference(images[0], pixels, (x) => x < 56)).toBeLessThan(8)
    expect(difference(images[0], pixels, right)).toBeGreaterThan(40)
  })

  it.each(['sd15-inpaint', 'sd15'])('works with the UNet of %s', async (name) => {
    const request = { prompt: 'a fox', model: `${GOLDENS}/${name}/model`, seed: 5, numInferenceSteps: 4 }
    const picture = (await noise(64, 64)).toString('base64')
    const masks = await Promise.all([maskOf(64, 64, (x) => x >= 32), maskOf(64, 64, () => true)])
    const [half, whole] = await Promise.all(masks.map((mask) => draw(client, { ...request, image: picture, mask })))
    expect(half.images[0]).toMatchObject({ width: 64, height: 64 })
    expect(half.pngs[0].equals(whole.pngs[0])).toBe(false)
    expect(half.job.request).toMatchObject({ strength: 1, mask: { width: 64, height: 64 } })
  })
})

describe('batch', () => {
  it.each(['diffusers', 'a1111'] as const)('has a seed for each image in the %s convention', async (convention) => {
    const request = { prompt: STAR, seed: 7, numInferenceSteps: 8, noiseConvention: convention }
    const batch = await draw(client, { ...request, numImages: 3 })
    expect(batch.job.images.map(({ seed }) => seed)).toEqual([7, 8, 9])
    const texts = batch.pngs.map((png) => parseInfotext(readPngText(png).parameters).seed)
    expect(texts).toEqual([7, 8, 9])
    const alone = await draw(client, { ...request, seed: 9 })
    expect(difference(batch.images[2], alone.images[0])).toBeLessThan(0.5)
    expect(difference(batch.images[2], batch.images[0])).toBeGreaterThan(1)
  })

  it('shares its seed where a variation seed tells the images apart', async () => {
    const variation = { noiseConvention: 'a1111', variationSeed: 50, variationStrength: 0.3 } as const
    const { job, images, pngs } = await draw(client, { prompt: STAR, seed: 7, numImages: 2, ...variation })
    expect(job.images.map(({ seed }) => seed)).toEqual([7, 7])
    expect(difference(images[0], images[1])).toBeGreaterThan(1)
    const texts = pngs.map((png) => parseInfotext(readPngText(png).parameters))
    expect(texts).toMatchObject([
      { variationSeed: 50, variationSeedStrength: 0.3 },
      { variationSeed: 51, variationSeedStrength: 0.3 },
    ])
  })
})

describe('prompt syntax', () => {
  const long = `${'a very tiny shape, '.repeat(30)}a large red star on a blue background`

  it('reads all of a long prompt in chunks, or its beginning, with a note', async () => {
    const chunks = await draw(client, { prompt: long, seed: 7, numInferenceSteps: 4, promptSyntax: 'a1111' })
    expect(chunks.notes).toEqual([])
    const beginning = await draw(client, { prompt: long, seed: 7, numInferenceSteps: 4 })
    expect(beginning.notes).toEqual([expect.stringContaining('left out')])
  })

  it('changes the prompt on the way', async () => {
    const drawPrompt = (prompt: string) => draw(client, { prompt, seed: 7, promptSyntax: 'a1111' })
    const [from, to, changed, late] = await Promise.all(
      [STAR, CIRCLE, `[${STAR}:${CIRCLE}:0.4]`, `[${STAR}:${CIRCLE}:1.0]`].map(drawPrompt),
    )
    expect(changed.pngs[0].equals(from.pngs[0])).toBe(false)
    expect(changed.pngs[0].equals(to.pngs[0])).toBe(false)
    expect(difference(late.images[0], from.images[0])).toBe(0)
  })

  it('weighs words', async () => {
    const request = { seed: 7, numInferenceSteps: 4, promptSyntax: 'a1111' } as const
    const [plain, weighted] = await Promise.all(
      ['a red star', 'a (red:1.4) star'].map((prompt) => draw(client, { ...request, prompt })),
    )
    expect(weighted.pngs[0].equals(plain.pngs[0])).toBe(false)
  })
})

describe('autoencoder', () => {
  it('is that of another model, and its hash is in the metadata', async () => {
    const own = await draw(client, { prompt: STAR, seed: 7, numInferenceSteps: 2 })
    const same = await draw(client, { prompt: STAR, seed: 7, numInferenceSteps: 2, vae: 'demo' })
    expect(difference(own.images[0], same.images[0])).toBe(0)
    expect(parseInfotext(readPngText(same.pngs[0]).parameters)).toMatchObject({
      ...{ vae: 'demo', vaeHash: expect.stringMatching(/^[0-9a-f]{10}$/) as string },
    })
  })

  it('decodes in tiles when it is told so', async () => {
    const request = { prompt: STAR, seed: 7, numInferenceSteps: 2, width: 640, height: 64 }
    const [whole, tiled] = [await draw(client, request), await draw(client, { ...request, vaeTiling: 'on' })]
    const changed = difference(whole.images[0], tiled.images[0])
    expect(changed).toBeGreaterThan(0)
    expect(changed).toBeLessThan(2)
  })
})
