import { cpSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JobEvent } from '../src/daemon/protocol/event.js'
import type { Plan } from '../src/daemon/protocol/plan.js'
import type { GenerateRequest } from '../src/daemon/protocol/request.js'
import type { DeviceMemoryStatus, Resident } from '../src/daemon/protocol/status.js'
import { formatBytes } from '../src/engine/format-bytes.js'
import type { Evicted } from '../src/engine/networks/model-host.js'
import { expectSamePixels, startCluster, type Cluster } from './support/cluster.js'
import { draw, type Drawn } from './support/draw.js'

const DEMO = resolve('fixtures/models/tiny-shapes-xl')
const EDGES = readFileSync('fixtures/models/examples/canny_0.png').toString('base64')
const REQUEST: GenerateRequest = {
  ...{ prompt: 'a large red star on a blue background', seed: 7, numInferenceSteps: 3, width: 128, height: 128 },
}
const WITH_CANNY: GenerateRequest = { ...REQUEST, controls: [{ controlNet: 'canny', image: EDGES }] }
const WITH_STRIPES: GenerateRequest = { ...REQUEST, loras: [{ name: 'stripes' }] }

/** What a daemon without a limit takes for the demo model alone, and then with a ControlNet and a LoRA. */
interface Amounts {
  readonly model: number
  readonly alone: number
  readonly all: number
}

let amounts: Amounts
let plain: Drawn

const memoryOf = async ({ client }: Cluster): Promise<DeviceMemoryStatus> => {
  const [{ memory }] = (await client.status()).devices
  if (!memory) throw new Error('The worker has not told of its memory.')
  return memory
}
const residentsOf = async ({ client }: Cluster): Promise<readonly Resident[]> => (await client.status()).residents ?? []

beforeAll(async () => {
  const roomy = await startCluster(1)
  try {
    plain = await draw(roomy.client, REQUEST)
    const alone = (await memoryOf(roomy)).usedBytes
    await draw(roomy.client, WITH_CANNY)
    await draw(roomy.client, WITH_STRIPES)
    const model = (await residentsOf(roomy)).find(({ kind }) => kind === 'model')?.bytes ?? 0
    amounts = { model, alone, all: (await memoryOf(roomy)).usedBytes }
  } finally {
    await roomy.sandbox.dispose()
  }
})

/** A daemon whose device has so many bytes, and a copy of the demo model. */
async function startSmall(bytes: number): Promise<Cluster & { readonly copy: string }> {
  const cluster = await startCluster(1, { SWIFTD_DEVICE_MEMORY_MB: String(bytes / 2 ** 20) })
  const copy = join(cluster.sandbox.directory, 'copy-of-demo')
  cpSync(DEMO, copy, { recursive: true })
  return { ...cluster, copy }
}

/** What the daemon's log tells of evictions. */
function evictions({ sandbox }: Cluster): Evicted[] {
  const lines = readFileSync(sandbox.paths.logFile, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{'))
  return lines.flatMap((line) => (JSON.parse(line) as { evicted?: Evicted }).evicted ?? [])
}

async function failureOf({ client }: Cluster, request: GenerateRequest): Promise<JobEvent | undefined> {
  const { id } = await client.submit(request)
  let last: JobEvent | undefined
  for await (const event of client.events(id)) last = event
  return last
}

describe('a device that has memory for one model', () => {
  let small: Awaited<ReturnType<typeof startSmall>>
  beforeAll(async () => {
    small = await startSmall(amounts.alone + amounts.model / 2)
  })
  afterAll(() => small.sandbox.dispose())

  it('serves two that alternate: each is released for the other, and the images are the same', async () => {
    for (const model of ['demo', small.copy, 'demo', small.copy]) {
      expectSamePixels(await draw(small.client, { ...REQUEST, model }), plain)
      const models = (await residentsOf(small)).filter(({ kind }) => kind === 'model')
      expect(models).toMatchObject([{ bytes: amounts.model, uses: 0 }])
    }
    const told = evictions(small)
    expect(told.map(({ kind, path }) => [kind, path])).toEqual([
      ['model', DEMO],
      ['model', small.copy],
      ['model', DEMO],
    ])
    expect(told[0].neededFor).toBe(`The model ${small.copy}`)
  })

  it('refuses an image that is too large with the numbers, before it computes, and goes on', async () => {
    const failed = await failureOf(small, { ...REQUEST, width: 2048, height: 2048 })
    const all = formatBytes((await memoryOf(small)).limitBytes ?? 0)
    expect(failed).toMatchObject({ type: 'failed', error: { code: 'OUT_OF_MEMORY' } })
    const message = failed?.type === 'failed' ? failed.error.message : ''
    expect(message).toMatch(/^Computing 2048x2048 pixels in a batch of 2 with the model .* needs [\d.]+ [MG]B, but /)
    expect(message).toContain(`of ${all} are free on cpu:0`)
    expectSamePixels(await draw(small.client, REQUEST), plain)
  })

  it('tells so by the exit code of the command', async () => {
    const { exitCode, stderr } = await small.sandbox.run(['generate', 'a star', '--width', '2048', '--height', '2048'])
    expect(exitCode).toBe(5)
    expect(stderr).toContain('free on cpu:0')
  })

  it('shows what it has, for people and for programs', async () => {
    const { limitBytes = 0, usedBytes, workBytes } = await memoryOf(small)
    expect(usedBytes).toBeLessThanOrEqual(limitBytes)
    expect(workBytes).toBeGreaterThan(0)
    const { stdout } = await small.sandbox.run(['devices'])
    expect(stdout).toContain(`${formatBytes(usedBytes)} of ${formatBytes(limitBytes)}`)
    const plan = JSON.parse((await small.sandbox.run(['devices', '--json'])).stdout) as Plan
    expect(plan.devices[0].memory).toMatchObject({ limitBytes, usedBytes })
  })
})

describe('a device that has memory for one model and its add-ons', () => {
  it('gives up what nobody uses before a model, and never what is pinned', async () => {
    const small = await startSmall(amounts.all + amounts.model / 4)
    try {
      await small.sandbox.run(['controlnet', 'preload', 'canny', '--pin'])
      for (const request of [WITH_CANNY, WITH_STRIPES]) await draw(small.client, request)
      expect(evictions(small)).toEqual([])
      expectSamePixels(await draw(small.client, { ...REQUEST, model: small.copy }), plain)
      const kinds = (): string[] => evictions(small).map(({ kind }) => kind)
      expect(kinds()).toEqual(['lora', 'model'])
      const pinned = (await residentsOf(small)).find(({ kind }) => kind === 'controlnet')
      expect(pinned).toMatchObject({ name: 'canny', pinned: true })

      await small.sandbox.run(['controlnet', 'preload', 'canny', '--no-pin'])
      await draw(small.client, REQUEST)
      expect(kinds()).toEqual(['lora', 'model', 'controlnet', 'model'])
    } finally {
      await small.sandbox.dispose()
    }
  })
})

describe('a device whose memory ends in the middle of a job', () => {
  // prlimit(1) is a part of every Linux system.
  it.runIf(process.platform === 'linux')('fails that job with OUT_OF_MEMORY, and goes on', async () => {
    const cluster = await startCluster(1)
    try {
      await draw(cluster.client, REQUEST)
      const [{ pid }] = (await cluster.client.status()).devices
      const addressSpace = Number(/VmSize:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
      await execa('prlimit', ['--pid', String(pid), `--as=${addressSpace + 60e6}`])
      const failed = await failureOf(cluster, { ...REQUEST, width: 1024, height: 1024 })
      expect(failed).toMatchObject({
        error: { code: 'OUT_OF_MEMORY', message: expect.stringContaining('The device has no memory left; ') as string },
      })
      expectSamePixels(await draw(cluster.client, REQUEST), plain)
      expect((await cluster.client.status()).devices).toMatchObject([{ pid, restarts: 0 }])
    } finally {
      await cluster.sandbox.dispose()
    }
  })
})

describe('a device that is too small for a model', () => {
  it('refuses every job of it with the numbers, and stays', async () => {
    const tiny = await startSmall(amounts.model / 2)
    try {
      for (const model of ['demo', tiny.copy]) {
        const failed = await failureOf(tiny, { ...REQUEST, model })
        expect(failed).toMatchObject({
          error: { code: 'OUT_OF_MEMORY', message: expect.stringContaining('that is more than it has') as string },
        })
      }
      const { devices } = await tiny.client.status()
      expect(devices).toMatchObject([{ state: 'idle', restarts: 0 }])
    } finally {
      await tiny.sandbox.dispose()
    }
  })
})

describe('a second device without memory for its half', () => {
  const SPLIT: GenerateRequest = {
    ...{ ...REQUEST, width: 64, height: 64, latentParallel: true },
    placement: { baseDevice: 'cpu:0', secondDevice: 'cpu:1' },
  }
  /** Both run base models, and the second one ControlNets as well. */
  const ROLES = { SWIFTD_BASE_DEVICES: 'cpu:0,cpu:1', SWIFTD_CONTROLNET_DEVICES: 'cpu:1' }

  it('costs the job its help, and nothing else', async () => {
    const roomy = await startCluster(2, ROLES)
    const split = await draw(roomy.client, SPLIT)
    const [{ memory: ofBase }] = (await roomy.client.status()).devices
    await roomy.sandbox.dispose()
    expect(split.notes).toEqual([])

    const bytes = ofBase?.usedBytes ?? NaN
    const small = await startCluster(2, { ...ROLES, SWIFTD_DEVICE_MEMORY_MB: String(bytes / 2 ** 20) })
    try {
      await small.sandbox.run(['controlnet', 'preload', 'canny', 'depth', '--pin'])
      const alone = await draw(small.client, SPLIT)
      expect(alone.notes).toEqual([expect.stringMatching(/^cpu:0 computes alone: .* are free on cpu:1/)])
      expectSamePixels(alone, split)
    } finally {
      await small.sandbox.dispose()
    }
  })
})
