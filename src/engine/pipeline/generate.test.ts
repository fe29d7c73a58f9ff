import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BaseModel } from '../networks/base-model.js'
import { openModelHost, type ModelHost } from '../networks/model-host.js'
import { liveNativeObjects } from '../ort/native.js'
import { openTokenizer, type ClipTokenizer } from '../text/tokenizer.js'
import { openCheckpoint } from '../weights/checkpoint.js'
import { generate } from './generate.js'
import { localStages } from './local-stages.js'
import type { GenerateRequest } from './request.js'

const cacheDirectory = mkdtempSync(join(tmpdir(), 'swiftd-generate-'))
let host: ModelHost
let model: BaseModel
let tokenizers: ClipTokenizer[]

beforeAll(async () => {
  host = openModelHost({ threads: 1, cacheDirectory })
  model = await host.load(openCheckpoint(join(import.meta.dirname, '../../../fixtures/goldens/sd15/model')))
  const [{ tokenizerDirectory }] = model.checkpoint.textEncoders
  tokenizers = [await openTokenizer(tokenizerDirectory)]
})
afterAll(async () => {
  await host.release()
  rmSync(cacheDirectory, { recursive: true, force: true })
})

const BETAS = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' } as const

/** The latents after every model call. */
async function run(fields: Partial<GenerateRequest>): Promise<Float32Array[]> {
  const steps: Float32Array[] = []
  await generate({
    ...{ checkpoint: model.checkpoint, tokenizers, stages: localStages(model) },
    request: {
      ...{ prompt: 'a fox', negativePrompt: 'blurry', promptSyntax: 'a1111', width: 64, height: 64, seeds: [7n] },
      ...{ numInferenceSteps: 6, guidanceScale: 7, scheduler: { class: 'EulerDiscreteScheduler', config: BETAS } },
      ...fields,
    },
    onStep: ({ latents }) => {
      steps.push(latents)
    },
  })
  return steps
}

/** The largest difference, relative to the largest value. */
function difference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length)
  const largest = a.reduce((max, value) => Math.max(max, Math.abs(value)), 0)
  return a.reduce((max, value, i) => Math.max(max, Math.abs(value - b[i])), 0) / largest
}

/** One image of a batch. */
function imageOf(latents: Float32Array, image: number, count: number): Float32Array {
  const length = latents.length / count
  return latents.subarray(image * length, (image + 1) * length)
}

describe('prompts that change with the step', () => {
  it('follow the first text for the first half, and one call more, then the second', async () => {
    const [changing, first] = [await run({ prompt: 'a [fox:castle:0.5]' }), await run({ prompt: 'a fox' })]
    expect(changing.slice(0, 4)).toEqual(first.slice(0, 4))
    expect(difference(changing[4], first[4])).toBeGreaterThan(1e-4)
  })

  it('follow the second text alone where the change is at the beginning', async () => {
    expect(await run({ prompt: 'a [fox:castle:0]' })).toEqual(await run({ prompt: 'a castle' }))
  })

  it('count the model calls of methods that make two in a step', async () => {
    const scheduler = { class: 'HeunDiscreteScheduler', config: BETAS }
    const fields = { scheduler, numInferenceSteps: 4 }
    const [changing, first] = [await run({ ...fields, prompt: 'a [fox:castle:0.5]' }), await run({ ...fields })]
    expect(changing.slice(0, 5)).toEqual(first.slice(0, 5))
    expect(difference(changing[5], first[5])).toBeGreaterThan(1e-4)
  })
})

describe('long prompts', () => {
  it('give another image than their first 75 tokens do, which diffusers’ syntax keeps', async () => {
    const prompt = 'fox '.repeat(75) + 'castle in the snow'
    const options = { prompt, numInferenceSteps: 2 }
    const cut = await run({ ...options, promptSyntax: 'diffusers' })
    expect(await run({ ...options, prompt: 'fox '.repeat(75), promptSyntax: 'diffusers' })).toEqual(cut)
    expect(difference((await run(options))[1], cut[1])).toBeGreaterThan(1e-4)
  })
})

describe('the size of the image', () => {
  it('changes from one run to the next without another session', async () => {
    await run({ numInferenceSteps: 1 })
    const live = liveNativeObjects()
    for (const size of [{ width: 128 }, { height: 96 }, { width: 32, height: 32, numImagesPerPrompt: 3 }]) {
      await run({ numInferenceSteps: 1, ...size })
      expect(liveNativeObjects()).toBe(live)
    }
  })
})

describe('seeds of a batch', () => {
  it.each(['EulerDiscreteScheduler', 'EulerAncestralDiscreteScheduler'])(
    'in the a1111 convention give image i the picture of seed + i (%s)',
    async (scheduler) => {
      const fields = {
        scheduler: { class: scheduler, config: BETAS },
        noiseConvention: 'a1111' as const,
        rng: 'nv' as const,
      }
      const batch = (await run({ ...fields, numImagesPerPrompt: 3 })).at(-1)!
      for (const image of [0, 2]) {
        const single = (await run({ ...fields, seeds: [7n + BigInt(image)] })).at(-1)!
        expect(difference(imageOf(batch, image, 3), single)).toBeLessThan(1e-5)
      }
    },
  )

  it('in the diffusers convention draw one stream for all images', async () => {
    const batch = (await run({ numImagesPerPrompt: 2, numInferenceSteps: 2 })).at(-1)!
    const single = (await run({ seeds: [8n], numInferenceSteps: 2 })).at(-1)!
    expect(difference(imageOf(batch, 1, 2), single)).toBeGreaterThan(1e-3)
  })

  it('vary with the variation seed', async () => {
    const fields = { noiseConvention: 'a1111' as const, numInferenceSteps: 2 }
    const varied = (await run({ ...fields, variationSeed: 9n, variationStrength: 1 })).at(-1)!
    const other = (await run({ ...fields, seeds: [9n] })).at(-1)!
    expect(difference(varied, other)).toBeLessThan(1e-4)
  })
})
