import { chmodSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { StartResult } from '../src/commands/daemon/start.js'
import type { StatusResult } from '../src/commands/daemon/status.js'
import { SWIFTD_VERSION } from '../src/daemon/protocol/version.js'
import { createSandbox, isRunning, type Sandbox } from './support/sandbox.js'

/** The machine may be busy. */
const PATIENTLY = { timeout: 30_000 }
let sandbox: Sandbox

beforeEach(() => {
  sandbox = createSandbox()
})
afterEach(() => sandbox.dispose())

async function startDaemon(...args: string[]): Promise<StartResult> {
  const { stdout } = await sandbox.run(['daemon', 'start', '--json', ...args])
  return JSON.parse(stdout) as StartResult
}

/** The pids of the daemon and of its workers, once these are up. */
async function processes(): Promise<{ daemon: number; workers: number[] }> {
  const client = sandbox.connect()
  await expect
    .poll(async () => (await client.status()).devices.every(({ state }) => state === 'idle'), PATIENTLY)
    .toBe(true)
  const { pid, devices } = await client.status()
  return { daemon: pid, workers: devices.map((device) => device.pid ?? 0) }
}

describe('daemon', () => {
  it('starts once, stops completely, and takes both a second time', async () => {
    const first = await sandbox.run(['daemon', 'start'])
    expect(first).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^Daemon started \(pid \d+, cpu:0=1\)$/) as string,
    })
    const { daemon, workers } = await processes()
    const second = await sandbox.run(['daemon', 'start'])
    expect(second).toMatchObject({ exitCode: 0, stdout: `The daemon is already running (pid ${daemon}, cpu:0=1)` })

    expect(await sandbox.run(['daemon', 'stop'])).toMatchObject({ exitCode: 0, stdout: 'Daemon stopped' })
    expect([daemon, ...workers].filter(isRunning)).toEqual([])
    expect(existsSync(sandbox.paths.socket)).toBe(false)
    expect(await sandbox.run(['daemon', 'stop'])).toMatchObject({ exitCode: 0, stdout: 'The daemon is not running' })
  })

  it('tells its status to people and to scripts', async () => {
    const stopped = await sandbox.run(['daemon', 'status', '--json'])
    expect([stopped.exitCode, JSON.parse(stopped.stdout)]).toEqual([3, { running: false }])
    await startDaemon('--device', 'cpu:0=1', '--device', 'cpu:1=1')
    await processes()
    const running = JSON.parse((await sandbox.run(['daemon', 'status', '--json'])).stdout) as StatusResult
    expect(running).toMatchObject({
      ...{ running: true, version: SWIFTD_VERSION, state: 'ready', jobs: { queued: 0, running: 0 } },
      devices: [
        { name: 'cpu:0', threads: 1, state: 'idle', restarts: 0 },
        { name: 'cpu:1', threads: 1, state: 'idle', restarts: 0 },
      ],
    })
    const { exitCode, stdout } = await sandbox.run(['daemon', 'status'])
    expect(exitCode).toBe(0)
    expect(stdout).toContain('cpu:1: 1 thread, idle')
  })

  it('keeps its socket, its lock and its log for its user alone', async () => {
    await startDaemon()
    const mode = (path: string): number => statSync(path).mode & 0o777
    const { runtimeDirectory, socket, lock, logFile } = sandbox.paths
    expect([runtimeDirectory, socket, lock, logFile].map(mode)).toEqual([0o700, 0o600, 0o600, 0o600])
  })

  it('is one, however many clients start it at once', async () => {
    const draw = (seed: number) =>
      sandbox.run(['generate', 'a red star', '--steps', '2', '--seed', String(seed), '-o', `${seed}.png`, '-q'])
    const results = await Promise.all([1, 2, 3].map(draw))
    expect(results.map(({ exitCode, stderr }) => ({ exitCode, stderr }))).toEqual(
      new Array(3).fill({ exitCode: 0, stderr: '' }),
    )
    for (const seed of [1, 2, 3]) expect(existsSync(join(sandbox.directory, `${seed}.png`))).toBe(true)
    const ready = readFileSync(sandbox.paths.logFile, 'utf8').match(/"msg":"ready"/g)
    expect(ready).toHaveLength(1)
    expect(await sandbox.connect().jobs()).toHaveLength(3)
  })

  it('takes its workers along when it is killed, and a new one takes over its socket', async () => {
    await startDaemon('--device', 'cpu:0=1', '--device', 'cpu:1=1')
    const { daemon, workers } = await processes()
    process.kill(daemon, 'SIGKILL')
    await expect.poll(() => [daemon, ...workers].filter(isRunning), PATIENTLY).toEqual([])
    expect(existsSync(sandbox.paths.socket)).toBe(true)
    expect((await sandbox.run(['daemon', 'status'])).exitCode).toBe(3)
    const drawn = await sandbox.run(['generate', 'a red star', '--steps', '2', '-o', 'new.png', '-q'])
    expect(drawn).toMatchObject({ exitCode: 0, stderr: '' })
    expect((await sandbox.connect().status()).pid).not.toBe(daemon)
  })

  it.each(['SIGTERM', 'SIGINT'] as const)('finishes its running job on %s, then goes', async (signal) => {
    await startDaemon()
    const { daemon, workers } = await processes()
    const client = sandbox.connect()
    const running = await client.submit({ prompt: 'a red star', numInferenceSteps: 30 })
    const waiting = await client.submit({ prompt: 'a red star' })
    const last = async (id: string): Promise<string | undefined> => {
      let type: string | undefined
      for await (const event of client.events(id)) type = event.type
      return type
    }
    const ends = Promise.all([last(running.id), last(waiting.id)])
    await expect.poll(async () => (await client.job(running.id)).progress?.step ?? 0, PATIENTLY).toBeGreaterThan(0)
    process.kill(daemon, signal)
    expect(await ends).toEqual(['completed', 'cancelled'])
    await expect.poll(() => [daemon, ...workers].filter(isRunning), PATIENTLY).toEqual([])
  })

  it('cancels what runs when it is told not to wait', async () => {
    await startDaemon()
    const client = sandbox.connect()
    const { id } = await client.submit({ prompt: 'a red star', numInferenceSteps: 900 })
    const events = client.events(id)
    await events.next()
    expect((await sandbox.run(['daemon', 'stop', '--timeout', '0'])).exitCode).toBe(0)
    const rest: string[] = []
    for await (const event of events) rest.push(event.type)
    expect(rest.at(-1)).toBe('cancelled')
  })

  it('explains devices that it cannot have', async () => {
    const refused = await sandbox.run(['daemon', 'start', '--device', 'gpu:0'])
    expect(refused).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(/^Error: "gpu:0" is not a device/) as string,
    })
    // Where the daemon is started along the way, its own reason is told.
    const along = await sandbox.run(['generate', 'x', '-q'], { env: { SWIFTD_DEVICES: 'gpu:0' } })
    expect(along).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(/^Error: "gpu:0" is not a device/) as string,
    })
  })

  it('prints and follows its log', async () => {
    expect((await sandbox.run(['daemon', 'logs'])).stderr).toContain('is empty')
    await startDaemon()
    const { exitCode, stdout } = await sandbox.run(['daemon', 'logs', '-n', '1000'])
    expect(exitCode).toBe(0)
    expect(stdout).toContain('"msg":"ready"')
    const json = JSON.parse((await sandbox.run(['daemon', 'logs', '-n', '1', '--json'])).stdout) as { lines: string[] }
    expect(json.lines).toHaveLength(1)

    const following = sandbox.start(['daemon', 'logs', '-f', '-n', '0'])
    let followed = ''
    following.stdout.on('data', (chunk) => (followed += String(chunk)))
    await expect
      .poll(async () => {
        await sandbox.run(['generate', 'a red star', '--steps', '1', '-o', 'a.png', '-q'])
        return followed
      }, PATIENTLY)
      .toContain('job completed')
    following.kill('SIGTERM')
    await following
  })

  it('refuses a runtime directory that others may enter', async () => {
    const open = createSandbox()
    mkdirSync(open.paths.runtimeDirectory)
    chmodSync(open.paths.runtimeDirectory, 0o777)
    const { exitCode, stderr } = await open.run(['daemon', 'start'])
    expect([exitCode, stderr]).toEqual([3, expect.stringContaining('open to other users (mode 777)')])
    await open.dispose()
  })
})
