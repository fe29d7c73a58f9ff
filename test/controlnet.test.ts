import { cpSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DaemonClient } from '../src/daemon/client/client.js'
import type { GenerateRequest } from '../src/daemon/protocol/request.js'
import {
  drawDisturbed,
  eventsOf,
  expectSamePixels,
  rolesOf,
  startCluster,
  timingsOf,
  type Cluster,
} from './support/cluster.js'
import { difference, draw, type Drawn } from './support/draw.js'
import { preparedFor } from './support/prepared.js'

const DEMO = resolve('fixtures/models/tiny-shapes-xl')
const EDGES = readFileSync('fixtures/models/examples/canny_0.png').toString('base64')
const REQUEST: GenerateRequest = { prompt: 'a large red star on a blue background', seed: 7, numInferenceSteps: 5 }
const CANNY = { controlNet: 'canny', image: EDGES }
const DEPTH = { ...CANNY, controlNet: 'depth', scale: 0.5 }

type Control = NonNullable<GenerateRequest['controls']>[number]

/** A request whose UNet runs on cpu:0 and whose ControlNets run on these devices. */
function controlled(devices: readonly string[], controls: readonly Control[] = [CANNY]): GenerateRequest {
  return { ...REQUEST, controls: [...controls], placement: { baseDevice: 'cpu:0', controlNetDevices: [...devices] } }
}

let cluster: Cluster
let client: DaemonClient
let plain: Drawn
/** With one ControlNet, all on cpu:0. */
let alone: Drawn

beforeAll(async () => {
  cluster = await startCluster(3)
  client = cluster.client
  plain = await draw(client, { ...REQUEST, placement: { baseDevice: 'cpu:0' } })
  alone = await draw(client, controlled(['cpu:0']))
})
afterAll(() => cluster.sandbox.dispose())

describe('the device of a ControlNet', () => {
  it('makes no difference to the image', async () => {
    expect(difference(alone.images[0], plain.images[0])).toBeGreaterThan(1)
    const elsewhere = await draw(client, controlled(['cpu:1']))
    expectSamePixels(elsewhere, alone)
    expect([rolesOf(alone), rolesOf(elsewhere)]).toEqual([
      ['base cpu:0', 'controlnet cpu:0'],
      ['base cpu:0', 'controlnet cpu:1'],
    ])
  })

  it('is chosen by the daemon, where none is asked for', async () => {
    const chosen = await draw(client, { ...REQUEST, controls: [CANNY] })
    expectSamePixels(chosen, alone)
    expect(timingsOf(chosen).map(({ role }) => role)).toEqual(['base', 'controlnet'])
  })

  it('tells what its part of a step cost, to the message and the byte', async () => {
    const elsewhere = await draw(client, controlled(['cpu:1']))
    const [base, controlNet] = timingsOf(elsewhere)
    expect(base).toMatchObject({ encoderMs: expect.any(Number) as number, waitMs: expect.any(Number) as number })
    expect(controlNet.controlNetMs).toBeGreaterThan(0)
    expect(controlNet.messageMs).toBeGreaterThanOrEqual(0)
    // The skips and the mid block's values of two rows of 16x16 latents: float32.
    expect(controlNet.sharedBytes).toBeGreaterThan(2 * 16 * 16 * 4)
  })

  it('may run another job meanwhile, for either job with the same image', async () => {
    const long = { ...REQUEST, seed: 8, numInferenceSteps: 900, placement: { baseDevice: 'cpu:1' } }
    const busy = await client.submit(long)
    const serving = await draw(client, controlled(['cpu:1']))
    expect((await client.job(busy.id)).state).toBe('running')
    await client.cancel(busy.id)
    expectSamePixels(serving, alone)
  })

  it('serves the ControlNets of two jobs at once', async () => {
    const other = { ...controlled(['cpu:2'], [{ ...CANNY, scale: 0.7 }]), seed: 8, numInferenceSteps: 12 }
    const expected = await draw(client, other)
    const requests = [
      { ...other, placement: { baseDevice: 'cpu:1', controlNetDevices: ['cpu:2'] } },
      controlled(['cpu:2']),
    ]
    const [first, second] = await Promise.all(requests.map((request) => draw(client, request)))
    expectSamePixels(first, expected)
    expectSamePixels(second, alone)
  })
})

describe('two ControlNets', () => {
  it('make the same image on the base device, on one other device and on two', async () => {
    const drawn: Drawn[] = []
    for (const devices of [['cpu:0'], ['cpu:1'], ['cpu:1', 'cpu:2'], ['cpu:0', 'cpu:2'], ['cpu:2', 'cpu:0']]) {
      drawn.push(await draw(client, controlled(devices, [CANNY, DEPTH])))
    }
    for (const each of drawn) expectSamePixels(each, drawn[0])
    expect(rolesOf(drawn[2])).toEqual(['base cpu:0', 'controlnet cpu:1', 'controlnet cpu:2'])
    expect(difference(drawn[0].images[0], alone.images[0])).toBeGreaterThan(0)
  })
})

describe('how a ControlNet acts', () => {
  const withSettings = (settings: Partial<Control>) => draw(client, controlled(['cpu:1'], [{ ...CANNY, ...settings }]))

  it.each<[string, Partial<Control>]>([
    ['a scale of 0', { scale: 0 }],
    ['residual weights of 0', { residualWeights: Array<number>(10).fill(0) }],
    ['a window that is over before the first step ends', { end: 0.1 }],
    ['a window that begins behind the last step', { start: 1 }],
  ])('%s is the image without it', async (_, settings) => {
    expectSamePixels(await withSettings(settings), plain)
  })

  it('residual weights of 1 change nothing', async () => {
    expectSamePixels(await withSettings({ residualWeights: Array<number>(10).fill(1) }), alone)
  })

  it('every other setting makes an image of its own', async () => {
    const settings: Partial<Control>[] = [
      { scale: 0.5 },
      { start: 0.5 },
      { end: 0.5 },
      { guessMode: true },
      { controlMode: 'prompt' },
      { controlMode: 'control' },
      { residualWeights: [0] },
    ]
    const drawn = [plain, alone]
    for (const each of settings) drawn.push(await withSettings(each))
    const distinct = new Set(drawn.map(({ images }) => Buffer.from(images[0].data).toString('base64')))
    expect(distinct.size).toBe(drawn.length)
  })
})

describe('a ControlNet that a device has', () => {
  it('is not loaded again: not for the next job, nor for another base model', async () => {
    const copy = join(cluster.sandbox.directory, 'copy-of-demo')
    cpSync(DEMO, copy, { recursive: true })
    const again = await draw(client, controlled(['cpu:1']))
    const other = await draw(client, { ...controlled(['cpu:1']), model: copy, width: 128, height: 128 })
    const canny = resolve('fixtures/models/controlnets/canny')
    for (const drawn of [again, other]) {
      expect(preparedFor(cluster.sandbox, drawn.job)).toMatchObject([
        { kind: 'controlnet', paths: [canny], device: 'cpu:1', cached: true },
      ])
    }
    expectSamePixels(again, alone)
  })
})

describe('bad ControlNets and pictures', () => {
  it('of another family are refused with what each of the two is', async () => {
    const control = { controlNet: resolve('fixtures/goldens/sd15/controlnet-a'), image: EDGES }
    const job = draw(client, { ...REQUEST, controls: [control] })
    await expect(job).rejects.toThrow(/controlnet-a was made for .* models with prompts .* wide, but the model .* SDXL/)
  })

  it('that nobody knows are refused with the nearest names', async () => {
    const job = client.submit({ ...REQUEST, controls: [{ ...CANNY, controlNet: 'cany' }] })
    await expect(job).rejects.toMatchObject({
      code: 'MODEL_NOT_FOUND',
      message: expect.stringContaining('canny') as string,
    })
  })

  it('that cannot be read are refused before the job exists', async () => {
    const job = client.submit({ ...REQUEST, controls: [{ ...CANNY, image: EDGES.slice(0, 400) }] })
    const message = expect.stringMatching(/^The image for the ControlNet "canny" cannot be decoded/) as string
    await expect(job).rejects.toMatchObject({ code: 'INVALID_REQUEST', message })
  })
})

describe('a ControlNet’s worker', () => {
  it('may be killed in the middle of a step: the job goes on from its last one, to the same image', async () => {
    const request = { ...controlled(['cpu:2']), numInferenceSteps: 40 }
    const undisturbed = await draw(client, request)
    const disturbed = await drawDisturbed(client, request, { device: 'cpu:2' })
    expectSamePixels(disturbed, undisturbed)
    const restarts = eventsOf(disturbed, 'worker-restarted')
    expect(restarts).toMatchObject([{ device: 'cpu:2', reason: expect.stringContaining('cpu:2') as string }])
    expect(restarts[0].step).toBeGreaterThanOrEqual(3)
    const steps = eventsOf(disturbed, 'step').map(({ step }) => step)
    expect(steps).toEqual(Array.from({ length: 40 }, (_, index) => index + 1))
    expect(disturbed.notes).toEqual([])
  })

  it('leaves no memory taken when its job is cancelled while it computes', async () => {
    const { id } = await client.submit({ ...controlled(['cpu:1']), numInferenceSteps: 900 })
    for await (const event of client.events(id)) {
      if (event.type === 'step' && event.step === 2) await client.cancel(id)
    }
    expect((await client.job(id)).state).toBe('cancelled')
    await expect.poll(async () => (await client.status()).arena.used).toBe(0)
    expectSamePixels(await draw(client, controlled(['cpu:1'])), alone)
  })
})

describe('a ControlNet’s worker that hangs', () => {
  it('is given up after the deadline and replaced, and the image is the same', async () => {
    const impatient = await startCluster(2, { SWIFTD_PEER_DEADLINE_MS: '2000' })
    try {
      const request = { ...controlled(['cpu:1']), numInferenceSteps: 30 }
      const undisturbed = await draw(impatient.client, request)
      const stopped = await drawDisturbed(impatient.client, request, { device: 'cpu:1', signal: 'SIGSTOP' })
      expectSamePixels(stopped, undisturbed)
      expect(eventsOf(stopped, 'worker-restarted')).toMatchObject([
        { device: 'cpu:1', reason: 'The worker of cpu:1 did not answer a control step within 2 s.' },
      ])
    } finally {
      await impatient.sandbox.dispose()
    }
  })
})
