import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createClient, type DaemonClient } from '../client/client.js'
import type { JobRecord } from '../jobs/job.js'
import { createJobQueue } from '../jobs/job-queue.js'
import { createJobStore } from '../jobs/job-store.js'
import { createPlanner } from '../placement/planner.js'
import type { JobEvent } from '../protocol/event.js'
import { PROTOCOL_HEADER, PROTOCOL_VERSION, SWIFTD_VERSION } from '../protocol/version.js'
import type { DeviceWorker } from '../workers/device-worker.js'
import { SwiftdError } from '../../engine/errors.js'
import { createApp } from './app.js'
import { eventLines } from './event-stream.js'
import { closeSocket, listenOnSocket } from './listen.js'

const PNG = Buffer.from('not really a picture')
const STATUS = {
  ...{ version: SWIFTD_VERSION, protocolVersion: PROTOCOL_VERSION, pid: 1, state: 'ready' as const, uptimeMs: 5 },
  ...{ logFile: '/log', devices: [], arena: { used: 0, size: 1 } },
  jobs: { queued: 0, queueLimit: 1, running: 0, finished: 0 },
}
const DEVICE: DeviceWorker = {
  device: { name: 'cpu:0', provider: 'cpu', index: 0, threads: 1 },
  status: { name: 'cpu:0', threads: 1, state: 'idle', restarts: 0 },
  ready: () => Promise.reject(new Error('not used')),
  stop: () => Promise.resolve(),
}

let directory: string
let socket: string
let app: FastifyInstance
let client: DaemonClient
let shutdowns: number[]
/** The job that runs; the test plays the part of the engine. */
const NOTHING = { devices: [], roles: { base: [], controlNet: [] } }
let running: JobRecord | undefined
let endRun: () => void

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'swiftd-app-'))
  socket = join(directory, 'daemon.sock')
  shutdowns = []
  const logger = pino({ enabled: false })
  const store = createJobStore({ maxJobs: 1, maxBytes: 1000, maxAgeMs: 60_000 })
  const run = (job: JobRecord): Promise<void> =>
    new Promise((resolve) => {
      running = job
      endRun = resolve
      job.signal.addEventListener('abort', () => {
        job.fail(new SwiftdError('CANCELLED', 'The job was cancelled.'))
        resolve()
      })
    })
  const roles = { base: ['cpu:0'], controlNet: [] }
  const planner = createPlanner({ devices: [DEVICE], roles, cacheDirectory: directory, logger })
  const queue = createJobQueue({
    ...{ devices: [DEVICE], store, logger, run, limit: 1 },
    place: (job, availability) => planner.place(job, availability),
  })
  const shutdown = (graceMs: number) => {
    shutdowns.push(graceMs)
    return { pid: 1, running: 0, queued: 0 }
  }
  app = createApp({
    ...{ queue, store, planner, logger, preload: NOTHING },
    control: { status: () => Promise.resolve(STATUS), shutdown },
  })
  await listenOnSocket(app, socket)
  client = createClient(socket)
})

afterEach(async () => {
  await client.close()
  await app.close()
  rmSync(directory, { recursive: true })
})

async function finish(): Promise<void> {
  running?.addImage(PNG, { width: 8, height: 8, seed: 7 })
  running?.complete({ queuedMs: 0, loadMs: 0, generateMs: 1, runtimeMs: 1 })
  endRun()
  await new Promise(setImmediate)
}

async function collect(id: string): Promise<JobEvent[]> {
  const events: JobEvent[] = []
  for await (const event of client.events(id)) events.push(event)
  return events
}

describe('daemon socket', () => {
  it('belongs to its owner alone', () => {
    expect(statSync(socket).mode & 0o777).toBe(0o600)
  })

  it('replaces what a dead daemon left behind', async () => {
    const left = join(directory, 'left.sock')
    writeFileSync(left, '')
    const other = createApp({
      ...{ queue: {} as never, store: {} as never, planner: {} as never, preload: NOTHING },
      ...{ logger: pino({ enabled: false }) },
      control: { status: () => Promise.resolve(STATUS), shutdown: () => ({ pid: 1, running: 0, queued: 0 }) },
    })
    await listenOnSocket(other, left)
    const otherClient = createClient(left)
    expect((await otherClient.status()).pid).toBe(1)
    await otherClient.close()
    await other.close()
  })
})

describe('closing', () => {
  it('does not wait for a connection that never asked for anything', async () => {
    const silent = connect(socket)
    await once(silent, 'connect')
    const ended = once(silent, 'close')
    await closeSocket(app)
    await ended
  })

  it('lets a client hear the end of its job, and does not wait for its connection', async () => {
    const { id } = await client.submit({ prompt: 'a star' })
    const events = client.events(id)
    await events.next()
    const closed = closeSocket(app)
    await finish()
    const types: string[] = []
    for await (const { type } of events) types.push(type)
    expect(types.at(-1)).toBe('completed')
    await closed
    await expect(client.status()).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
  })
})

describe('daemon API', () => {
  it('takes a job, follows it, and gives its image', async () => {
    const job = await client.submit({ prompt: 'a star', seed: 7 })
    expect(job).toMatchObject({ state: 'running', request: { seed: 7, width: 128 } })
    const events = collect(job.id)
    running?.emit({ type: 'step', step: 1, total: 1, timestep: 1, elapsedMs: 1, runtimeMs: 1 })
    await finish()
    const types = (await events).map(({ type }) => type)
    expect(types).toEqual(['accepted', 'started', 'step', 'image', 'completed'])
    expect(await client.image(job.id, 0)).toEqual(PNG)
    expect(await client.job(job.id)).toMatchObject({ state: 'completed', images: [{ byteLength: PNG.length }] })
    expect((await client.jobs()).map(({ id }) => id)).toEqual([job.id])
  })

  it('tells a late client everything from the first event on', async () => {
    const { id } = await client.submit({ prompt: 'a star' })
    await finish()
    const events = await collect(id)
    expect(events[0]).toMatchObject({ type: 'accepted', protocolVersion: PROTOCOL_VERSION, jobId: id })
    expect(events.at(-1)?.type).toBe('completed')
  })

  it('cancels a job that runs, and takes the cancelling of a finished one for done', async () => {
    const { id } = await client.submit({ prompt: 'a star' })
    const events = collect(id)
    await client.cancel(id)
    expect((await events).at(-1)?.type).toBe('cancelled')
    expect(await client.cancel(id)).toMatchObject({ state: 'cancelled' })
  })

  it('cancels while another connection follows the events, and nobody waits for the other', async () => {
    const { id } = await client.submit({ prompt: 'a star' })
    const followers = [collect(id), collect(id), collect(id)]
    expect((await client.status()).pid).toBe(1)
    await client.cancel(id)
    for (const events of await Promise.all(followers)) expect(events.at(-1)?.type).toBe('cancelled')
  })

  it('refuses a job for a device that is not there, or for one that is both', async () => {
    const prompt = 'a star'
    await expect(client.submit({ prompt, placement: { baseDevice: 'cpu:7' } })).rejects.toMatchObject({
      ...{ code: 'INVALID_REQUEST', message: 'There is no device "cpu:7"; the daemon has cpu:0.' },
    })
    const twice = { baseDevice: 'cpu:0', secondDevice: 'cpu:0' }
    await expect(client.submit({ prompt, latentParallel: true, placement: twice })).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    })
    expect(await client.jobs()).toEqual([])
  })

  it('tells where a job would run, and refuses a plan that is none', async () => {
    const plan = await client.plan({ measure: false, controls: ['canny'] })
    expect(plan).toMatchObject({
      ...{ model: 'demo', width: 128, measured: false, notes: [] },
      candidates: [{ description: 'cpu:0 with canny' }],
      chosen: { base: 'cpu:0', controlNets: ['cpu:0'] },
    })
    await expect(client.plan({ controls: ['cany'] })).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' })
    await expect(client.plan({ width: 3 })).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
  })

  it('tells unknown, expired and refused jobs apart', async () => {
    await expect(client.job('nothing')).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
    const first = await client.submit({ prompt: 'a star' })
    await client.submit({ prompt: 'another star' })
    await expect(client.submit({ prompt: 'too many' })).rejects.toMatchObject({ code: 'QUEUE_FULL' })
    await finish()
    await finish()
    await expect(client.job(first.id)).rejects.toMatchObject({ code: 'JOB_EXPIRED' })
    await expect(collect('nothing')).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
    await expect(client.image(first.id, 0)).rejects.toMatchObject({ code: 'JOB_EXPIRED' })
  })

  it('answers errors with their status and a body', async () => {
    const refused = await app.inject({ method: 'POST', url: '/v1/jobs', payload: { prompt: 'x', width: 130 } })
    expect(refused.statusCode).toBe(400)
    expect(refused.json()).toEqual({
      error: { code: 'INVALID_REQUEST', message: expect.stringContaining('not 130') as string },
    })
    const headers = { 'content-type': 'application/json' }
    const broken = await app.inject({ method: 'POST', url: '/v1/jobs', headers, payload: '{"prompt"' })
    expect([broken.statusCode, broken.json<{ error: { code: string } }>().error.code]).toEqual([400, 'INVALID_REQUEST'])
    const huge = await app.inject({ method: 'POST', url: '/v1/shutdown', headers, payload: `"${'x'.repeat(2 ** 21)}"` })
    expect(huge.json<{ error: { code: string } }>().error.code).toBe('INVALID_REQUEST')
    const pictures = await app.inject({
      ...{
        method: 'POST',
        url: '/v1/jobs',
        headers: { ...headers, 'content-length': String(2 ** 26 + 1) },
        payload: '"',
      },
    })
    expect(pictures.json<{ error: { message: string } }>().error.message).toBe(
      'The request has more than 64 MiB, pictures included; scale the pictures down or give them as JPEG or WebP.',
    )
    const nowhere = await app.inject({ url: '/v2/jobs' })
    expect([nowhere.statusCode, nowhere.json<{ error: { message: string } }>().error.message]).toEqual([
      ...[404, 'There is no GET /v2/jobs.'],
    ])
    expect((await app.inject({ url: '/healthz' })).json()).toEqual({ status: 'ok' })
  })

  it('tells a client of another protocol version so, but lets it ask for the status and the end', async () => {
    const headers = { [PROTOCOL_HEADER]: '0' }
    const refused = await app.inject({ url: '/v1/jobs', headers })
    expect([refused.statusCode, refused.json<{ error: { code: string } }>().error.code]).toEqual([
      426,
      'DAEMON_VERSION',
    ])
    expect((await app.inject({ url: '/v1/status', headers })).statusCode).toBe(200)
    const stopped = await app.inject({ method: 'POST', url: '/v1/shutdown', headers, payload: { graceMs: 3 } })
    expect(stopped.statusCode).toBe(202)
    expect(shutdowns).toEqual([3])
  })

  it('refuses a grace that is no time', async () => {
    await expect(client.shutdown(-1)).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    expect(shutdowns).toEqual([])
  })

  it('is unreachable when nothing listens', async () => {
    const nowhere = createClient(join(directory, 'nothing.sock'))
    await expect(nowhere.status()).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
    await nowhere.close()
  })

  it('breaks a stream that nobody ends with DAEMON_UNREACHABLE', async () => {
    const { id } = await client.submit({ prompt: 'a star' })
    const events = client.events(id)
    expect((await events.next()).value).toMatchObject({ type: 'accepted' })
    app.server.closeAllConnections()
    await events.next()
    await expect(events.next()).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
    running?.cancel()
  })
})

describe('event stream', () => {
  it('sends heartbeats while nothing happens, and no terminal event twice', async () => {
    await client.submit({ prompt: 'a star' })
    const job = running!
    const types: string[] = []
    for await (const line of eventLines(job, 1)) {
      const { type } = JSON.parse(line) as { type: string }
      types.push(type)
      if (types.filter((each) => each === 'heartbeat').length === 2) job.cancel()
    }
    expect(types.filter((type) => type === 'cancelled')).toHaveLength(1)
    expect(types.at(-1)).toBe('cancelled')
    expect(job.events.some(({ type }) => type === 'heartbeat')).toBe(false)
  })
})
