import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SwiftdError } from '../../engine/errors.js'
import { admit } from '../jobs/admission.js'
import { createJob, type JobRecord } from '../jobs/job.js'
import { createJobQueue } from '../jobs/job-queue.js'
import { createJobStore } from '../jobs/job-store.js'
import type { GenerateRequest } from '../protocol/request.js'
import type { DeviceWorker } from '../workers/device-worker.js'
import type { WorkerProcess } from '../workers/worker-process.js'
import { createPlanner } from './planner.js'

/** A request that a worker was sent; the test plays the part of the worker. */
interface Asked {
  readonly device: string
  readonly rows: number
  readonly answer: (encoderMs: number) => void
}

let directory: string
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'swiftd-planner-'))))
afterEach(() => rmSync(directory, { recursive: true, force: true }))

/** A queue over devices whose workers load at once and measure what the test says. */
function openPlanner(count: number) {
  const asked: Asked[] = []
  const request = (device: string): WorkerProcess['request'] => {
    return ((method, parameters, { signal }) => {
      if (method !== 'measure') return Promise.resolve({})
      const { latents } = parameters as { latents: readonly number[] }
      return new Promise<unknown>((resolve, reject) => {
        const answer = (encoderMs: number): void => resolve({ encoderMs, decoderMs: 0 })
        asked.push({ device, rows: latents[0], answer })
        signal?.addEventListener('abort', () => reject(new SwiftdError('CANCELLED', 'The job was cancelled.')))
      })
    }) as WorkerProcess['request']
  }
  const devices = Array.from({ length: count }, (_, index): DeviceWorker => {
    const device = { name: `cpu:${index}`, provider: 'cpu' as const, index, threads: 1 }
    return {
      device,
      status: { ...device, state: 'idle', restarts: 0 },
      ready: () => Promise.resolve({ request: request(device.name) } as WorkerProcess),
      stop: () => Promise.resolve(),
    }
  })
  const logger = pino({ enabled: false })
  const roles = { base: devices.map(({ device }) => device.name), controlNet: [] }
  const planner = createPlanner({ devices, roles, cacheDirectory: directory, logger })
  const placed: string[] = []
  const queue = createJobQueue({
    ...{ devices, store: createJobStore(), logger },
    place: (job, availability) => planner.place(job, availability),
    run(job, { base, second }) {
      placed.push(
        [job.id, base, second]
          .flatMap((each) => (typeof each === 'string' ? each : (each?.device.name ?? [])))
          .join(' '),
      )
      return new Promise((resolve) => job.signal.addEventListener('abort', () => resolve()))
    },
  })
  let jobs = 0
  const submit = async (more: Partial<GenerateRequest>): Promise<JobRecord> => {
    const admitted = await admit({ prompt: 'x', seed: 1, ...more })
    return queue.submit((position) => createJob(`job-${++jobs}`, admitted, position))
  }
  return { asked, placed, submit }
}

/** Lets everything happen that waits for nothing but other promises, and for files. */
async function settle(until: () => boolean): Promise<void> {
  await expect.poll(until).toBe(true)
}

describe('planner', () => {
  it('measures the whole batch on one device after the other, then the halves at once, and splits where that is faster', async () => {
    const { asked, placed, submit } = openPlanner(2)
    const job = await submit({ latentParallel: 'auto' })
    expect(job.state).toBe('queued')
    await settle(() => asked.length === 1)
    expect(asked[0]).toMatchObject({ device: 'cpu:0', rows: 2 })
    asked[0].answer(100)
    await settle(() => asked.length === 2)
    asked[1].answer(100)
    await settle(() => asked.length === 4)
    expect(asked.slice(2).map(({ device, rows }) => [device, rows])).toEqual([
      ['cpu:0', 1],
      ['cpu:1', 1],
    ])
    asked.slice(2).forEach(({ answer }) => answer(50))
    await settle(() => placed.length === 1)
    expect(placed).toEqual(['job-1 cpu:0 cpu:1'])
    job.cancel()
  })

  it('measures nothing twice, also after a restart of the daemon', async () => {
    const first = openPlanner(2)
    const job = await first.submit({ latentParallel: 'auto' })
    for (let index = 0; index < 4; index++) {
      await settle(() => first.asked.length > index)
      first.asked[index].answer(100)
    }
    await settle(() => first.placed.length === 1)
    expect(first.placed).toEqual(['job-1 cpu:0'])
    job.cancel()
    const second = openPlanner(2)
    ;(await second.submit({ latentParallel: 'auto' })).cancel()
    expect([second.placed, second.asked]).toEqual([['job-1 cpu:0'], []])
  })

  it('never lets a job wait that has nothing to choose', async () => {
    const { asked, placed, submit } = openPlanner(2)
    await submit({})
    await submit({ placement: { baseDevice: 'cpu:1' } })
    expect(placed).toEqual(['job-1 cpu:0', 'job-2 cpu:1'])
    const alone = openPlanner(1)
    await alone.submit({ latentParallel: 'auto' })
    expect([alone.placed, asked, alone.asked]).toEqual([['job-1 cpu:0'], [], []])
  })

  it('ends a measurement as soon as another job comes, and keeps their order', async () => {
    const { asked, placed, submit } = openPlanner(2)
    await submit({ latentParallel: 'auto' })
    await settle(() => asked.length === 1)
    await submit({})
    expect(placed).toEqual(['job-1 cpu:0', 'job-2 cpu:1'])
  })

  it('ends a measurement with the job that waits for it', async () => {
    const { asked, placed, submit } = openPlanner(2)
    const job = await submit({ latentParallel: 'auto' })
    await settle(() => asked.length === 1)
    job.cancel()
    expect(job.state).toBe('cancelled')
    await submit({ latentParallel: true })
    await settle(() => placed.length === 1)
    expect(placed).toEqual(['job-2 cpu:0 cpu:1'])
  })
})
