import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BaseModel } from '../networks/base-model.js'
import { openModelHost, type ModelHost } from '../networks/model-host.js'
import { openTokenizer, type ClipTokenizer } from '../text/tokenizer.js'
import { openCheckpoint } from '../weights/checkpoint.js'
import { encodeConditioning } from './conditioning.js'
import { localStages } from './local-stages.js'
import type { GenerateRequest } from './request.js'

const goldens = join(import.meta.dirname, '../../../fixtures/goldens')
const cacheDirectory = mkdtempSync(join(tmpdir(), 'swiftd-conditioning-'))
const ROWS = 77

interface Opened {
  readonly model: BaseModel
  readonly tokenizers: readonly ClipTokenizer[]
}

let host: ModelHost
let sd15: Opened
let sd21: Opened
let sdxl: Opened

async function open(family: string): Promise<Opened> {
  const model = await host.load(openCheckpoint(join(goldens, family, 'model')))
  const directories = model.checkpoint.textEncoders.map((encoder) => encoder.tokenizerDirectory)
  return { model, tokenizers: await Promise.all(directories.map((directory) => openTokenizer(directory))) }
}

beforeAll(async () => {
  host = openModelHost({ threads: 1, cacheDirectory })
  ;[sd15, sd21, sdxl] = [await open('sd15'), await open('sd21'), await open('sdxl')]
})
afterAll(async () => {
  await host.release()
  rmSync(cacheDirectory, { recursive: true, force: true })
})

/** Copies of what the UNet reads, [negative, positive], for each distinct moment of a run. */
interface Encoded {
  readonly dims: readonly number[]
  readonly states: readonly Float32Array[]
  readonly pooled: readonly (Float32Array | undefined)[]
  readonly byCall: readonly number[] | undefined
  readonly notes: readonly string[]
  /** Rows that the text encoders were asked for. */
  readonly passes: number
}

async function encode(
  { model, tokenizers }: Opened,
  prompt: string,
  fields: Partial<GenerateRequest> = {},
  steps = 10,
): Promise<Encoded> {
  const request: GenerateRequest = {
    ...{ prompt, negativePrompt: '', promptSyntax: 'a1111', width: 64, height: 64, guidanceScale: 7, seeds: [1n] },
    ...{ numInferenceSteps: steps, scheduler: { class: 'EulerDiscreteScheduler', config: {} } },
    ...fields,
  }
  const local = localStages(model)
  const notes: string[] = []
  let passes = 0
  const conditioning = await encodeConditioning({
    ...{ checkpoint: model.checkpoint, tokenizers, request, calls: steps, scheduleCalls: steps },
    stages: {
      ...local,
      encodePrompt(tokens, clipSkip) {
        passes++
        return local.encodePrompt(tokens, clipSkip)
      },
    },
    onNote: (note) => notes.push(note),
  })
  const { conditionings, conditioningAt } = conditioning.from(0)
  const encoded = {
    dims: conditionings[0].encoderHiddenStates.dims,
    states: conditionings.map(({ encoderHiddenStates }) => encoderHiddenStates.data.slice()),
    pooled: conditionings.map(({ textEmbeds }) => textEmbeds?.data.slice()),
    byCall: conditioningAt,
    ...{ notes, passes },
  }
  conditioning.release()
  return encoded
}

/** Rows `from` to `to` of the sequence of one row of the batch. */
function rowsOf({ dims, states }: Encoded, batchRow: number, from = 0, to = dims[1]): Float32Array {
  const [, length, width] = dims
  return states[0].subarray((batchRow * length + from) * width, (batchRow * length + to) * width)
}

const [NEGATIVE, POSITIVE] = [0, 1]

describe('the a1111 prompt syntax', () => {
  it.each(['a red fox in the snow', 'Ünïcode, commas: and colons', '', 'fox '.repeat(75)])(
    'is bit-equal to diffusers’ where there is no syntax (%j)',
    async (prompt) => {
      const fields = { negativePrompt: 'blurry, bad' }
      const diffusers = await encode(sd15, prompt, { ...fields, promptSyntax: 'diffusers' })
      expect((await encode(sd15, prompt, fields)).states).toEqual(diffusers.states)
    },
  )

  it('is bit-equal to diffusers’ on SDXL, too, where an empty negative prompt is all zeros', async () => {
    const diffusers = await encode(sdxl, 'a red fox', { promptSyntax: 'diffusers', negativePrompt: null })
    const webui = await encode(sdxl, 'a red fox')
    expect(webui.states).toEqual(diffusers.states)
    expect(webui.pooled).toEqual(diffusers.pooled)
    expect(rowsOf(webui, NEGATIVE).every((value) => value === 0)).toBe(true)
    expect(
      rowsOf(await encode(sdxl, 'a red fox', { negativePrompt: ' ' }), NEGATIVE).some((value) => value !== 0),
    ).toBe(true)
  })

  it('weights only the tokens in brackets without the norm', async () => {
    const plain = await encode(sd15, 'a red fox')
    const weighted = await encode(sd15, 'a (red:1.5) fox', { emphasis: 'no-norm' })
    const at = 1 + sd15.tokenizers[0].tokenIds('a').length
    const end = at + sd15.tokenizers[0].tokenIds('red').length
    expect(rowsOf(weighted, POSITIVE, 0, at)).toEqual(rowsOf(plain, POSITIVE, 0, at))
    expect(rowsOf(weighted, POSITIVE, at, end)).toEqual(rowsOf(plain, POSITIVE, at, end).map((value) => value * 1.5))
    expect(rowsOf(weighted, POSITIVE, end)).toEqual(rowsOf(plain, POSITIVE, end))
    expect(rowsOf(weighted, NEGATIVE)).toEqual(rowsOf(plain, NEGATIVE))
  })

  it('keeps the mean of the chunk with the norm', async () => {
    const mean = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0) / values.length
    const [plain, weighted] = [await encode(sd15, 'a red fox'), await encode(sd15, 'a (red:1.5) fox')]
    expect(mean(rowsOf(weighted, POSITIVE))).toBeCloseTo(mean(rowsOf(plain, POSITIVE)), 6)
    expect(rowsOf(weighted, POSITIVE)).not.toEqual(rowsOf(plain, POSITIVE))
  })

  it('leaves the pooled projection unweighted and takes it from the first chunk', async () => {
    const plain = await encode(sdxl, 'a red fox')
    const weighted = await encode(sdxl, 'a (red:1.5) fox BREAK a dog')
    expect(weighted.pooled).toEqual(plain.pooled)
    expect(weighted.dims[1]).toBe(2 * ROWS)
  })

  it('joins chunks along the sequence and fills the shorter prompt up with empty ones', async () => {
    const both = await encode(sd15, 'a red fox BREAK a dog', { negativePrompt: 'blurry' })
    expect(both.dims.slice(0, 2)).toEqual([2, 2 * ROWS])
    const [fox, dog] = [await encode(sd15, 'a red fox'), await encode(sd15, 'a dog', { negativePrompt: 'blurry' })]
    expect(rowsOf(both, POSITIVE, 0, ROWS)).toEqual(rowsOf(fox, POSITIVE))
    expect(rowsOf(both, POSITIVE, ROWS)).toEqual(rowsOf(dog, POSITIVE))
    expect(rowsOf(both, NEGATIVE, 0, ROWS)).toEqual(rowsOf(dog, NEGATIVE))
    expect(rowsOf(both, NEGATIVE, ROWS)).toEqual(rowsOf(fox, NEGATIVE))

    const longNegative = await encode(sd15, 'a red fox', { negativePrompt: 'a dog BREAK blurry' })
    expect(rowsOf(longNegative, POSITIVE, ROWS)).toEqual(rowsOf(fox, NEGATIVE))
  })

  it('reads all of a prompt of 200 tokens, where diffusers’ leaves out the end and says so', async () => {
    const prompt = 'fox '.repeat(200)
    const webui = await encode(sd15, prompt)
    expect([webui.dims[1], webui.notes]).toEqual([3 * ROWS, []])
    const diffusers = await encode(sd15, prompt, { promptSyntax: 'diffusers' })
    expect(diffusers.dims[1]).toBe(ROWS)
    expect(diffusers.notes).toEqual([expect.stringContaining('200 tokens')])
  })

  it('repeats the last vector of prompts that are shorter than others of the batch', async () => {
    const encoded = await encode(sd15, '', { prompt: ['a red fox', 'a dog BREAK a cat'], seeds: [1n, 2n] })
    const alone = await encode(sd15, 'a red fox')
    expect(encoded.dims.slice(0, 2)).toEqual([4, 2 * ROWS])
    expect(rowsOf(encoded, 2, 0, ROWS)).toEqual(rowsOf(alone, POSITIVE))
    expect(rowsOf(encoded, 2, ROWS, ROWS + 1)).toEqual(rowsOf(alone, POSITIVE, ROWS - 1))
    expect(rowsOf(encoded, 2, 2 * ROWS - 1)).toEqual(rowsOf(alone, POSITIVE, ROWS - 1))
  })

  it('changes the text after the call that has the number of the step, as stable-diffusion-webui does', async () => {
    const encoded = await encode(sd15, 'a [fox:dog:0.5]')
    expect(encoded.byCall).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
    expect(encoded.states[0]).toEqual((await encode(sd15, 'a fox')).states[0])
    expect(encoded.states[1]).toEqual((await encode(sd15, 'a dog')).states[0])
  })

  it('encodes each text once, however often it alternates', async () => {
    const encoded = await encode(sd15, 'a [fox|dog]', { negativePrompt: '[blurry|bad]' })
    expect(encoded.byCall).toEqual([0, 0, 1, 0, 1, 0, 1, 0, 1, 0])
    expect(encoded.passes).toBe(4)
  })

  it('is constant where nothing changes', async () => {
    const encoded = await encode(sd15, 'a (red:1.2) fox [a:a:5]')
    expect([encoded.states.length, encoded.byCall]).toEqual([1, undefined])
  })

  it('fills texts of one schedule up to equal length', async () => {
    const encoded = await encode(sd15, '[a fox:a fox BREAK a dog:4]')
    expect(encoded.states.map((states) => states.length)).toEqual(Array<number>(2).fill(2 * 2 * ROWS * encoded.dims[2]))
  })

  it('applies the clip skip of SD1.x to both prompts, counted from 1', async () => {
    const none = await encode(sd15, 'a fox', { negativePrompt: 'bad' })
    const one = await encode(sd15, 'a fox', { negativePrompt: 'bad', clipSkip: 1 })
    const two = await encode(sd15, 'a fox', { negativePrompt: 'bad', clipSkip: 2 })
    const diffusers = await encode(sd15, 'a fox', { negativePrompt: 'bad', clipSkip: 1, promptSyntax: 'diffusers' })
    expect(one.states).toEqual(none.states)
    expect(rowsOf(two, POSITIVE)).toEqual(rowsOf(diffusers, POSITIVE))
    expect(rowsOf(diffusers, NEGATIVE)).toEqual(rowsOf(none, NEGATIVE))
    expect(rowsOf(two, NEGATIVE)).not.toEqual(rowsOf(none, NEGATIVE))
  })

  it.each(['sd21', 'sdxl'])('says that a clip skip has no effect on %s', async (family) => {
    const opened = family === 'sdxl' ? sdxl : sd21
    const skipped = await encode(opened, 'a fox', { clipSkip: 2 })
    expect(skipped.states).toEqual((await encode(opened, 'a fox')).states)
    expect(skipped.notes).toEqual([expect.stringContaining('clip skip of 2 has no effect')])
  })

  it('leaves comments and LoRA tags out and says so of the tags', async () => {
    const encoded = await encode(sd15, 'a fox<lora:style:0.8> # a dog')
    expect(encoded.states).toEqual((await encode(sd15, 'a fox')).states)
    expect(encoded.notes).toEqual([expect.stringContaining('<lora:style:0.8>')])
  })

  it.each([
    ['a composed prompt', 'a fox AND a dog', {}, 'AND'],
    ['a weight without measure', 'a (fox:5000)', {}, '5000'],
  ])('refuses %s', async (_, prompt, fields, sentence) => {
    await expect(encode(sd15, prompt, fields)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      message: expect.stringContaining(sentence) as string,
    })
  })

  it('reads AND in a negative prompt as text', async () => {
    const [upper, lower] = [{ negativePrompt: 'a AND b' }, { negativePrompt: 'a and b' }]
    expect((await encode(sd15, 'a fox', upper)).states).toEqual((await encode(sd15, 'a fox', lower)).states)
  })

  it('encodes no negative prompt without guidance', async () => {
    const encoded = await encode(sd15, 'a fox', { guidanceScale: 1 })
    expect(encoded.dims[0]).toBe(1)
    expect(encoded.states[0]).toEqual(rowsOf(await encode(sd15, 'a fox'), POSITIVE))
  })
})

describe('from', () => {
  it('begins the schedule anew at the first call of a run that skips some', async () => {
    const { model, tokenizers } = sd15
    const conditioning = await encodeConditioning({
      ...{ checkpoint: model.checkpoint, tokenizers, stages: localStages(model), calls: 6, scheduleCalls: 6 },
      request: {
        ...{ prompt: '[a:b:2]', negativePrompt: '', promptSyntax: 'a1111', width: 64, height: 64, guidanceScale: 7 },
        ...{ seeds: [1n], numInferenceSteps: 6, scheduler: { class: 'EulerDiscreteScheduler', config: {} } },
      },
    })
    expect(conditioning.from(0).conditioningAt).toEqual([0, 0, 0, 1, 1, 1])
    expect(conditioning.from(2).conditioningAt).toEqual([0, 0, 0, 0, 0, 1])
    conditioning.release()
  })
})
