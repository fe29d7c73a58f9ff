import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SWIFTD_VERSION } from '../protocol/version.js'
import { superviseDevice, type DeviceWorker } from './device-worker.js'
import { gpuDevice, parseDevices, type DeviceSpec } from './devices.js'
import { WORKER_PROTOCOL_VERSION } from './messages.js'
import { createArena, type TensorArena } from './tensor-arena.js'
import { startWorkerProcess, type WorkerProcess } from './worker-process.js'

const [DEVICE] = parseDevices(['cpu:0=1'])
const HELLO = `process.send({ type: 'hello', protocolVersion: ${WORKER_PROTOCOL_VERSION}, version: '${SWIFTD_VERSION}', pid: process.pid })`
/** Goes when the daemon goes or asks it to, as a worker must. */
const STAY = `process.on('disconnect', () => process.exit()); process.on('message', ({ type }) => type === 'shutdown' && process.exit())`

let directory: string
let arena: TensorArena
let device: DeviceWorker | undefined

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'swiftd-supervision-'))
  arena = createArena(1024 ** 2)
})

afterEach(async () => {
  await device?.stop()
  device = undefined
  arena.close()
  rmSync(directory, { recursive: true })
})

/** Starts a small program in the worker's place. */
function start(program: string, device: DeviceSpec = DEVICE): Promise<WorkerProcess> {
  const path = join(directory, 'worker.mjs')
  writeFileSync(path, program)
  const logFd = openSync(join(directory, 'log'), 'a')
  const context = {
    arena,
    logFd,
    logger: pino({ enabled: false }),
    cacheDirectory: directory,
    runtimeDirectory: directory,
  }
  return startWorkerProcess(device, { ...context, entry: pathToFileURL(path) })
}

function supervise(program: () => string): DeviceWorker {
  device = superviseDevice(DEVICE, { start: () => start(program()), logger: pino({ enabled: false }), backoffMs: 1 })
  return device
}

describe('worker process', () => {
  it('is given up with its own reason when it cannot start', async () => {
    const program = `process.send({ type: 'failed', reason: 'no runtime for this machine' }, () => process.exit(1))`
    await expect(start(program)).rejects.toMatchObject({
      code: 'WORKER_LOST',
      message: expect.stringContaining('no runtime for this machine') as string,
    })
  })

  it('is told its provider, its card and its precision, and is shown no other GPU', async () => {
    const told = `[...process.argv.slice(-3), process.env.CUDA_DEVICE_ORDER, process.env.CUDA_VISIBLE_DEVICES].join()`
    const device = { ...gpuDevice('cuda', 1, { name: 'Card', address: '0000:02:00.0' }), precision: 'float32' } as const
    const starting = start(`process.send({ type: 'failed', reason: ${told} }, () => process.exit(1))`, device)
    await expect(starting).rejects.toThrow('did not get ready: cuda,0000:02:00.0,float32,PCI_BUS_ID,1.')
  })

  it('is refused when it is of another version', async () => {
    const program = `process.send({ type: 'hello', protocolVersion: 1, version: '0.0.0-old', pid: 1 }); ${STAY}`
    await expect(start(program)).rejects.toThrow(`The worker is of version 0.0.0-old, the daemon of ${SWIFTD_VERSION}`)
  })

  it('fails its pending requests with the signal that killed it', async () => {
    const worker = await start(`${HELLO}; ${STAY}; process.on('message', () => {})`)
    const request = worker.request('load', { model: { path: '/m' } }, { deadlineMs: 60_000 })
    process.kill(worker.pid, 'SIGKILL')
    await expect(request).rejects.toMatchObject({
      code: 'WORKER_LOST',
      message: expect.stringContaining('it was killed by SIGKILL') as string,
    })
    expect(worker.alive).toBe(false)
  })

  it('is killed when it does not answer in time', async () => {
    const worker = await start(`${HELLO}; ${STAY}; process.on('message', () => {})`)
    const request = worker.request('load', { model: { path: '/m' } }, { deadlineMs: 50 })
    await expect(request).rejects.toThrow('it did not answer load within 0.05 s')
    expect(await worker.exited).toBe('it did not answer load within 0.05 s')
  })

  it('is killed when it does not go by itself', async () => {
    const worker = await start(`${HELLO}; setInterval(() => {}, 1000); process.on('message', () => {})`)
    await worker.stop(50)
    expect(await worker.exited).toBe('it was killed by SIGKILL')
  })

  it('may talk nonsense without harm', async () => {
    const worker = await start(`process.send({ type: 'gossip' }); process.send(7); ${HELLO}; ${STAY}`)
    expect(worker.alive).toBe(true)
    await worker.stop(0)
  })
})

describe('device supervision', () => {
  it('replaces a worker that dies', async () => {
    const supervised = supervise(() => `${HELLO}; ${STAY}`)
    const first = await supervised.ready()
    process.kill(first.pid, 'SIGKILL')
    await first.exited
    const second = await supervised.ready()
    expect(second.pid).not.toBe(first.pid)
    expect(supervised.status).toMatchObject({ state: 'idle', restarts: 1, reason: 'it was killed by SIGKILL' })
  })

  it('gives the device up when the worker dies several times before it is ready', async () => {
    let starts = 0
    const supervised = supervise(() => {
      starts++
      return 'process.exit(7)'
    })
    await expect(supervised.ready()).rejects.toMatchObject({
      code: 'WORKER_LOST',
      message: expect.stringContaining('it exited with code 7') as string,
    })
    expect(supervised.status.state).toBe('failed')
    await expect(supervised.ready()).rejects.toThrow('cpu:0 is not available')
    expect(starts).toBe(3)
  })

  it('forgets failed starts once a worker gets ready', async () => {
    const programs = ['process.exit(1)', 'process.exit(1)', `${HELLO}; ${STAY}`]
    const supervised = supervise(() => programs.shift()!)
    expect((await supervised.ready()).alive).toBe(true)
    expect(supervised.status.state).toBe('idle')
  })

  it('ends the worker with the daemon and does not replace it', async () => {
    const supervised = supervise(() => `${HELLO}; ${STAY}; process.on('message', () => process.exit(0))`)
    const worker = await supervised.ready()
    await supervised.stop()
    expect(worker.alive).toBe(false)
    expect(supervised.status.state).toBe('stopped')
    await expect(supervised.ready()).rejects.toThrow('the daemon is stopping')
  })
})
