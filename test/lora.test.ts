import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DaemonClient } from '../src/daemon/client/client.js'
import type { GenerateRequest } from '../src/daemon/protocol/request.js'
import { parseInfotext } from '../src/engine/image/infotext.js'
import { readPngText } from '../src/engine/image/png.js'
import {
  drawDisturbed,
  eventsOf,
  expectSamePixels,
  signalWorker,
  startCluster,
  type Cluster,
} from './support/cluster.js'
import { difference, draw, type Drawn } from './support/draw.js'
import { preparedFor } from './support/prepared.js'

const STRIPES = resolve('fixtures/models/loras/stripes.safetensors')
const SD15 = resolve('fixtures/goldens/sd15')
const REQUEST: GenerateRequest = { prompt: 'a large red star on a blue background', seed: 7, numInferenceSteps: 10 }
const WITH_STRIPES: GenerateRequest = { ...REQUEST, loras: [{ name: 'stripes' }] }
const WITH_NEON: GenerateRequest = { ...REQUEST, loras: [{ name: 'neon' }] }
const PATIENTLY = { timeout: 30_000 }

let cluster: Cluster
let client: DaemonClient
let plain: Drawn
let stripes: Drawn

beforeAll(async () => {
  cluster = await startCluster(1)
  client = cluster.client
  plain = await draw(client, REQUEST)
  stripes = await draw(client, WITH_STRIPES)
})
afterAll(() => cluster.sandbox.dispose())

/** Replaces the worker by one that has nothing loaded. */
async function forgetEverything(): Promise<void> {
  const [{ pid }] = (await client.status()).devices
  await signalWorker(client, 'cpu:0', 'SIGKILL')
  const state = async () => (await client.status()).devices.find((each) => each.pid !== pid)?.state
  await expect.poll(state, PATIENTLY).toBe('idle')
}

/** The model call from which on a job's LoRAs were in effect. */
function appliedAt(drawn: Drawn): number | undefined {
  const [applied, ...more] = eventsOf(drawn, 'adapters-applied')
  expect(more).toEqual([])
  return applied?.step
}

const patchStep = ({ pngs }: Drawn) => parseInfotext(readPngText(pngs[0]).parameters).extra?.['Lora patch step']

describe('a LoRA', () => {
  it('leaves no trace on the next job without it', async () => {
    expect(difference(stripes.images[0], plain.images[0])).toBeGreaterThan(1)
    const after = await draw(client, REQUEST)
    expect(after.pngs[0].equals(plain.pngs[0])).toBe(true)
  })

  it('is not patched again when jobs with different LoRAs alternate', async () => {
    const first = await draw(client, WITH_NEON)
    const drawn: Drawn[] = []
    for (const request of [WITH_STRIPES, WITH_NEON, WITH_STRIPES]) drawn.push(await draw(client, request))
    expect(preparedFor(cluster.sandbox, first.job)).toMatchObject([{ kind: 'lora', cached: false }])
    for (const each of drawn) {
      const [prepared, ...more] = preparedFor(cluster.sandbox, each.job)
      expect([prepared.cached, more]).toEqual([true, []])
    }
    expect(drawn[1].pngs[0].equals(first.pngs[0])).toBe(true)
    for (const each of [drawn[0], drawn[2]]) expect(each.pngs[0].equals(stripes.pngs[0])).toBe(true)
    expect(appliedAt(first)).toBe(0)
  })

  it('of scale 0 is the image without it, and half a scale is neither', async () => {
    const [none, half] = [
      await draw(client, { ...REQUEST, loras: [{ name: 'stripes', scale: 0 }] }),
      await draw(client, { ...REQUEST, loras: [{ name: 'stripes', scale: 0.5 }] }),
    ]
    expectSamePixels(none, plain)
    for (const other of [plain, stripes]) expect(difference(half.images[0], other.images[0])).toBeGreaterThan(0)
  })

  it('stays in memory, and the status tells its size', async () => {
    const { residents = [] } = await client.status()
    const loras = residents.filter(({ kind }) => kind === 'lora')
    expect(loras.length).toBeGreaterThanOrEqual(2)
    expect(Math.max(...loras.map(({ bytes }) => bytes))).toBeGreaterThan(0)
  })

  it('is not kept where the budget is 0', async () => {
    const frugal = await startCluster(1, { SWIFTD_LORA_CACHE_MB: '0' })
    try {
      const drawn = [await draw(frugal.client, WITH_STRIPES), await draw(frugal.client, WITH_STRIPES)]
      for (const each of drawn) {
        expect(preparedFor(frugal.sandbox, each.job)).toMatchObject([{ kind: 'lora', cached: false }])
        expectSamePixels(each, stripes)
      }
      const { residents = [] } = await frugal.client.status()
      expect(residents.map(({ kind }) => kind)).toEqual(['model'])
    } finally {
      await frugal.sandbox.dispose()
    }
  })
})

describe('the step at which LoRAs take effect', () => {
  it('is the first one, unless the request says otherwise', async () => {
    const pinned = await draw(client, { ...WITH_STRIPES, loraAt: 0 })
    expectSamePixels(pinned, stripes)
    expect([appliedAt(stripes), patchStep(stripes)]).toEqual([0, undefined])
  })

  it('may be pinned, for the same image on a cold and on a warm daemon', async () => {
    const request = { ...WITH_STRIPES, loraAt: 4 }
    const warm = await draw(client, request)
    await forgetEverything()
    const cold = await draw(client, request)
    expect(preparedFor(cluster.sandbox, cold.job)).toMatchObject([{ cached: false }])
    expect([appliedAt(warm), appliedAt(cold)]).toEqual([4, 4])
    expect(cold.pngs[0].equals(warm.pngs[0])).toBe(true)
    for (const other of [plain, stripes]) expect(difference(warm.images[0], other.images[0])).toBeGreaterThan(0)
  })

  it('is recorded where a bound leaves it open, and pinning it makes the same image', async () => {
    await forgetEverything()
    const open = await draw(client, { ...WITH_STRIPES, loraBound: 0.5 })
    const step = appliedAt(open)
    expect(step).toBeLessThanOrEqual(5)
    expect(patchStep(open)).toBe(String(step))
    expectSamePixels(await draw(client, { ...WITH_STRIPES, loraAt: step }), open)
  })

  it.each<[string, GenerateRequest, RegExp]>([
    ['8 steps', { ...WITH_STRIPES, numInferenceSteps: 8, loraBound: 0.5 }, /from the first step: in a run of 8 steps/],
    [
      'a distillation',
      { ...REQUEST, loras: [], loraBound: 0.5 },
      /from the first step: .*makes models draw in few steps/,
    ],
  ])('is the first one, with a note, for %s', async (_, request, note) => {
    const path = join(cluster.sandbox.directory, 'stripes-lcm-lora.safetensors')
    copyFileSync(STRIPES, path)
    const drawn = await draw(client, { ...request, loras: request.loras?.length ? request.loras : [{ name: path }] })
    expect(drawn.notes).toEqual([expect.stringMatching(note)])
    expect([appliedAt(drawn), patchStep(drawn)]).toEqual([0, undefined])
  })

  it('stays the same when the worker is killed after it', async () => {
    const request = { ...WITH_NEON, numInferenceSteps: 40, loraBound: 0.25 }
    await forgetEverything()
    const disturbed = await drawDisturbed(client, request, { device: 'cpu:0', at: 12 })
    expect(eventsOf(disturbed, 'worker-restarted')).toHaveLength(1)
    expectSamePixels(
      await draw(client, { ...WITH_NEON, numInferenceSteps: 40, loraAt: appliedAt(disturbed) }),
      disturbed,
    )
  })
})

describe('the text encoder’s part of a LoRA', () => {
  const lora = { name: `${SD15}/lora/a.peft.safetensors` }
  const base = { ...REQUEST, scheduler: 'euler', model: `${SD15}/model`, width: 64, height: 64 }

  it('has a scale of its own, and counts before the prompt is encoded', async () => {
    const none = await draw(client, base)
    const both = await draw(client, { ...base, loras: [{ ...lora, scale: 1 }] })
    const unetOnly = await draw(client, { ...base, loras: [{ ...lora, scale: 1, textEncoderScale: 0 }] })
    const textOnly = await draw(client, { ...base, loras: [{ ...lora, scale: 0, textEncoderScale: 1 }] })
    const distinct = new Set(
      [none, both, unetOnly, textOnly].map(({ images: [{ data }] }) => Buffer.from(data).toString('hex')),
    )
    expect(distinct.size).toBe(4)
    const neverInUnet = await draw(client, { ...base, loras: [{ ...lora, scale: 1 }], loraAt: 10 })
    expectSamePixels(neverInUnet, textOnly)
    expectSamePixels(await draw(client, base), none)
  })
})

/** Writes a changed copy of the stripes LoRA. */
function writeLora(name: string, change: (file: Buffer) => Buffer): string {
  const path = join(cluster.sandbox.directory, name)
  writeFileSync(path, change(readFileSync(STRIPES)))
  return path
}

/** The same file with another header. */
function withHeader(file: Buffer, change: (header: string) => string): Buffer {
  const length = Number(file.readBigUInt64LE(0))
  const header = Buffer.from(change(file.toString('utf8', 8, 8 + length)))
  const begin = Buffer.alloc(8)
  begin.writeBigUInt64LE(BigInt(header.length))
  return Buffer.concat([begin, header, file.subarray(8 + length)])
}

/** The same file with one layer under the name of a block that the model does not have. */
const withForeignLayer = (file: Buffer) =>
  withHeader(file, (header) =>
    header.replaceAll('unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k.', 'unet.down_blocks.7.to_k.'),
  )

describe('bad LoRAs', () => {
  it.each<[string, RegExp, () => string]>([
    ['for another architecture', /is for another architecture/, () => `${SD15}/lora/d.peft.safetensors`],
    [
      'of which no layer is in the model',
      /none of its \d+ layers \("unet: other\.down_blocks[^)]*\) is in the model/,
      () =>
        writeLora('none.safetensors', (file) =>
          withHeader(file, (header) => header.replaceAll('"unet.', '"unet.other.')),
        ),
    ],
    ['that were cut off', /cut\.safetensors/, () => writeLora('cut.safetensors', (file) => file.subarray(0, 9000))],
    [
      'with values that are no numbers',
      /nan\.safetensors .*(no numbers|NaN)/,
      () =>
        writeLora('nan.safetensors', (file) => Buffer.concat([file.subarray(0, -4), Buffer.from('ffffffff', 'hex')])),
    ],
    [
      'of which only some layers are in the model',
      /fits the model only in part: 1 of its 110 layers \("unet: down_blocks\.7\.to_k"\) are not in it; .*--lora-partial/,
      () => writeLora('partial.safetensors', withForeignLayer),
    ],
  ])('%s are refused', async (_, message, path) => {
    await expect(draw(client, { ...REQUEST, loras: [{ name: path() }] })).rejects.toThrow(message)
  })

  it('of which only some layers fit are taken where the request says so', async () => {
    const path = writeLora('accepted.safetensors', withForeignLayer)
    const drawn = await draw(client, { ...REQUEST, loras: [{ name: path }], loraPartial: true })
    const apart = difference(drawn.images[0], stripes.images[0])
    expect(apart).toBeGreaterThan(0)
    expect(apart).toBeLessThan(difference(plain.images[0], stripes.images[0]))
  })

  it('that nobody knows are refused with the nearest names', async () => {
    const job = client.submit({ ...REQUEST, loras: [{ name: 'strips' }] })
    await expect(job).rejects.toMatchObject({
      code: 'MODEL_NOT_FOUND',
      message: expect.stringContaining('stripes') as string,
    })
  })

  it('leave the daemon as it was', async () => {
    const after = await draw(client, REQUEST)
    expect(after.pngs[0].equals(plain.pngs[0])).toBe(true)
    expect((await client.status()).arena.used).toBe(0)
  })
})
