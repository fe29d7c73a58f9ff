import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DaemonClient } from '../src/daemon/client/client.js'
import type { GenerateRequest } from '../src/daemon/protocol/request.js'
import {
  deviation,
  drawDisturbed,
  eventsOf,
  expectSamePixels,
  rolesOf,
  startCluster,
  timingsOf,
  type Cluster,
} from './support/cluster.js'
import { difference, draw, type Drawn } from './support/draw.js'

const EDGES = readFileSync('fixtures/models/examples/canny_0.png').toString('base64')
const CANNY = { controlNet: 'canny', image: EDGES }
const ON_CPU0: GenerateRequest = {
  ...{ prompt: 'a large red star on a blue background', seed: 7, numInferenceSteps: 6 },
  placement: { baseDevice: 'cpu:0', controlNetDevices: ['cpu:0'] },
}
const SPLIT: GenerateRequest = {
  ...ON_CPU0,
  latentParallel: true,
  placement: { baseDevice: 'cpu:0', secondDevice: 'cpu:1', controlNetDevices: ['cpu:2'] },
}
const MANY_STEPS = { ...SPLIT, numInferenceSteps: 40 }

let cluster: Cluster
let client: DaemonClient

beforeAll(async () => {
  cluster = await startCluster(3)
  client = cluster.client
})
afterAll(() => cluster.sandbox.dispose())

/**
 * The runtime has other kernels for the products of a single row (test/split-parity.test.ts): where a part has one, the latents
 * agree within rounding only, and hardly a pixel is another.
 */
function expectAlmostSamePixels(drawn: Drawn, expected: Drawn): void {
  expect(drawn.images.length).toBe(expected.images.length)
  for (const [index, image] of drawn.images.entries()) {
    const { most, share } = deviation(image, expected.images[index])
    expect(most).toBeLessThanOrEqual(1)
    expect(share).toBeLessThan(0.01)
  }
}

describe('the halves of the guidance on two devices', () => {
  it.each<[string, Partial<GenerateRequest>]>([
    ['nothing else', {}],
    ['a ControlNet', { controls: [CANNY] }],
    ['a ControlNet in guess mode', { controls: [{ ...CANNY, guessMode: true }] }],
    [
      'LoRAs',
      {
        loras: [
          { name: 'stripes', scale: 0.5 },
          { name: 'neon', scale: 0.5 },
        ],
      },
    ],
    [
      'a LoRA from step 3 on and two ControlNets',
      {
        ...{ loras: [{ name: 'neon' }], loraAt: 3 },
        controls: [CANNY, { ...CANNY, controlNet: 'depth', controlMode: 'prompt' }],
      },
    ],
    ['two images', { numImages: 2 }],
  ])('make the image of one device, with %s', async (_, settings) => {
    const together = await draw(client, { ...ON_CPU0, ...settings })
    const split = await draw(client, { ...SPLIT, ...settings })
    expectAlmostSamePixels(split, together)
    expect(rolesOf(split)).toEqual(expect.arrayContaining(['base cpu:0', 'second cpu:1']))
    expect(rolesOf(together)).not.toContain('second cpu:1')
    expect(split.notes).toEqual([])
    const second = timingsOf(split).find(({ role }) => role === 'second')
    expect(second?.messageMs).toBeGreaterThanOrEqual(0)
  })

  it('leave the text encoders and the autoencoder to a third device where that is asked for, with the same image', async () => {
    const own = await draw(client, SPLIT)
    const apart = await draw(client, { ...SPLIT, placement: { ...SPLIT.placement, textDevice: 'cpu:2' } })
    expectSamePixels(apart, own)
    const { residents = [] } = await client.status()
    expect(residents.some(({ device, kind }) => device === 'cpu:2' && kind === 'model')).toBe(true)
  })

  it('share a ControlNet on a third device, or compute their own, with the same image', async () => {
    const controls = [CANNY]
    const own = await draw(client, {
      ...SPLIT,
      controls,
      placement: { ...SPLIT.placement, controlNetDevices: ['cpu:0'] },
    })
    const shared = await draw(client, {
      ...SPLIT,
      controls,
      placement: { ...SPLIT.placement, controlNetDevices: ['cpu:2'] },
    })
    expectSamePixels(shared, own)
    expect(rolesOf(shared).sort()).toEqual(['base cpu:0', 'controlnet cpu:2', 'controlnet cpu:2', 'second cpu:1'])
  })

  it('switch to LoRAs at the same step, which is told once', async () => {
    const open = await draw(client, { ...SPLIT, numInferenceSteps: 10, loras: [{ name: 'neon' }], loraBound: 0.5 })
    const [applied, ...more] = eventsOf(open, 'adapters-applied')
    expect(more).toEqual([])
    const pinned = await draw(client, {
      ...SPLIT,
      numInferenceSteps: 10,
      loras: [{ name: 'neon' }],
      loraAt: applied.step,
    })
    expectSamePixels(pinned, open)
  })
})

describe('latent parallelism without guidance', () => {
  it('splits two images', async () => {
    const settings = { guidanceScale: 1, numImages: 2 }
    const together = await draw(client, { ...ON_CPU0, ...settings })
    const split = await draw(client, { ...SPLIT, ...settings })
    expectAlmostSamePixels(split, together)
    expect(rolesOf(split)).toEqual(['base cpu:0', 'second cpu:1'])
    expect(difference(split.images[0], split.images[1])).toBeGreaterThan(1)
  })

  it('has no effect on one image, and says so', async () => {
    const drawn = await draw(client, { ...SPLIT, guidanceScale: 1 })
    expect(drawn.notes).toEqual(['Latent parallelism has no effect: without guidance, one image is one pass.'])
    expect(rolesOf(drawn)).not.toContain('second cpu:1')
  })
})

describe('a lost worker', () => {
  it('of the second device costs the job its help, and nothing else', async () => {
    const undisturbed = await draw(client, MANY_STEPS)
    const disturbed = await drawDisturbed(client, MANY_STEPS, { device: 'cpu:1' })
    expectSamePixels(disturbed, undisturbed)
    expect(disturbed.notes).toEqual([expect.stringMatching(/^cpu:0 computes alone from step \d+ on: .*cpu:1/)])
    expect(eventsOf(disturbed, 'worker-restarted')).toEqual([])
    expect(rolesOf(disturbed)).not.toContain('second cpu:1')
    const steps = eventsOf(disturbed, 'step').map(({ step }) => step)
    expect(steps).toEqual(Array.from({ length: 40 }, (_, index) => index + 1))
  })

  it('of the base device is replaced, and the image is the same', async () => {
    const request = { ...MANY_STEPS, controls: [CANNY], loras: [{ name: 'stripes' }], loraAt: 2 }
    const undisturbed = await draw(client, request)
    const disturbed = await drawDisturbed(client, request, { device: 'cpu:0' })
    expectSamePixels(disturbed, undisturbed)
    expect(eventsOf(disturbed, 'worker-restarted')).toMatchObject([{ device: 'cpu:0' }])
    expect(eventsOf(disturbed, 'adapters-applied')).toMatchObject([{ step: 2 }])
  })

  it('of a ControlNet that only the second device asks is replaced, and the job stays split', async () => {
    const request = { ...MANY_STEPS, controls: [{ ...CANNY, guessMode: true }] }
    const undisturbed = await draw(client, request)
    const disturbed = await drawDisturbed(client, request, { device: 'cpu:2' })
    expectSamePixels(disturbed, undisturbed)
    expect(eventsOf(disturbed, 'worker-restarted')).toMatchObject([{ device: 'cpu:2' }])
    expect(disturbed.notes).toEqual([])
    expect(rolesOf(disturbed)).toEqual(['base cpu:0', 'second cpu:1', 'controlnet cpu:2'])
  })

  it('leaves no memory taken', async () => {
    await expect.poll(async () => (await client.status()).arena.used).toBe(0)
  })
})

describe('one device', () => {
  it('runs the job alone, with a note', async () => {
    const single = await startCluster(1)
    try {
      const drawn = await draw(single.client, { ...ON_CPU0, latentParallel: true })
      expect(drawn.notes).toEqual(['Latent parallelism has no effect: there is no second device for base models.'])
      expectSamePixels(drawn, await draw(client, ON_CPU0))
    } finally {
      await single.sandbox.dispose()
    }
  })
})
