import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DaemonClient } from '../src/daemon/client/client.js'
import type { JobEvent } from '../src/daemon/protocol/event.js'
import type { GenerateRequest } from '../src/daemon/protocol/request.js'
import { createSandbox, isRunning, type Sandbox } from './support/sandbox.js'

const REQUEST: GenerateRequest = { prompt: 'a large red star on a blue background', seed: 7, numInferenceSteps: 40 }
/** The machine may be busy. */
const PATIENTLY = { timeout: 30_000 }
let sandbox: Sandbox
let client: DaemonClient

beforeAll(async () => {
  sandbox = createSandbox()
  await sandbox.run(['daemon', 'start', '--device', 'cpu:0=1', '--device', 'cpu:1=1'])
  client = sandbox.connect()
})
afterAll(() => sandbox.dispose())

/** Runs a job; `onStep` is called after each step. */
async function runJob(request: GenerateRequest, onStep?: (step: number, device: string) => void) {
  const { id } = await client.submit(request)
  const events: JobEvent[] = []
  let device = ''
  for await (const event of client.events(id)) {
    events.push(event)
    if (event.type === 'started') device = event.device
    if (event.type === 'step') onStep?.(event.step, device)
  }
  return { id, events, types: events.map(({ type }) => type) }
}

/** The worker that computes on a device at this moment. */
async function workerOf(device: string): Promise<number> {
  const { devices } = await client.status()
  return devices.find(({ name }) => name === device)?.pid ?? 0
}

/** Kills the device's worker in the middle of a job. */
async function killWorker(device: string): Promise<void> {
  const pid = await workerOf(device)
  if (pid > 0) process.kill(pid, 'SIGKILL')
}

/** Waits until a job denoises and gives its id. Only one may run. */
async function jobThatRuns(): Promise<string> {
  let id: string | undefined
  const find = async (): Promise<number> => {
    const running = (await client.jobs()).find(({ state }) => state === 'running')
    id = running?.id
    return running?.progress?.step ?? 0
  }
  await expect.poll(find, PATIENTLY).toBeGreaterThan(0)
  return id ?? ''
}

const stepsOf = (events: readonly JobEvent[]): number[] => {
  return events.flatMap((event) => (event.type === 'step' ? [event.step] : []))
}

describe('job', () => {
  it('tells its life in order', async () => {
    const { events, types } = await runJob({ ...REQUEST, numInferenceSteps: 3 })
    const phases = events.flatMap((event) => (event.type === 'phase' ? [event.phase] : []))
    expect(phases).toEqual(['encoding-prompt', 'denoising', 'decoding'])
    expect(types.filter((type) => type !== 'phase')).toEqual([
      ...['accepted', 'started', 'model-loaded', 'step', 'step', 'step', 'image', 'completed'],
    ])
    expect(stepsOf(events)).toEqual([1, 2, 3])
    const times = events.map(({ time }) => time)
    expect(times).toEqual([...times].sort((a, b) => a - b))
    const step = events.find((event) => event.type === 'step')
    expect(step).toMatchObject({ total: 3, sigma: expect.any(Number) as number })
    expect(step?.runtimeMs).toBeLessThanOrEqual(step?.elapsedMs ?? 0)
  })

  it('draws each image of a batch as its own seed draws it alone', async () => {
    const batch = await runJob({ ...REQUEST, numInferenceSteps: 4, numImages: 2 })
    const alone = await runJob({ ...REQUEST, numInferenceSteps: 4, seed: 8 })
    const infos = (await client.job(batch.id)).images
    expect(infos.map(({ index, seed }) => ({ index, seed }))).toEqual([
      { index: 0, seed: 7 },
      { index: 1, seed: 8 },
    ])
    const [second, same] = await Promise.all([client.image(batch.id, 1), client.image(alone.id, 0)])
    // The same network on another batch size may round differently, by a grey level at most.
    expect(second.byteLength).toBeGreaterThan(1000)
    expect(Math.abs(second.byteLength - same.byteLength)).toBeLessThan(same.byteLength / 20)
  })

  it('runs beside another one on a second device', async () => {
    const [first, second] = await Promise.all([runJob(REQUEST), runJob({ ...REQUEST, seed: 8 })])
    const devices = [first, second].map(({ events }) => events.find((event) => event.type === 'started')?.device)
    expect([...devices].sort()).toEqual(['cpu:0', 'cpu:1'])
    expect([first.types.at(-1), second.types.at(-1)]).toEqual(['completed', 'completed'])
  })

  it('goes on from its last step when its worker is killed, with the same image', async () => {
    const undisturbed = await runJob(REQUEST)
    let killed: Promise<void> | undefined
    const disturbed = await runJob(REQUEST, (step, device) => {
      if (step === 5) killed = killWorker(device)
    })
    await killed
    const restart = disturbed.events.find((event) => event.type === 'worker-restarted')
    expect(restart).toMatchObject({ reason: expect.stringContaining('killed by SIGKILL') as string })
    expect(restart?.step).toBeGreaterThanOrEqual(5)
    expect(stepsOf(disturbed.events)).toEqual(Array.from({ length: 40 }, (_, index) => index + 1))
    const [expected, drawn] = await Promise.all([client.image(undisturbed.id, 0), client.image(disturbed.id, 0)])
    expect(drawn.equals(expected)).toBe(true)
  })

  it('is given up when its worker dies again and again, and the daemon goes on', async () => {
    const { id } = await client.submit({ ...REQUEST, numInferenceSteps: 900 })
    let last: JobEvent | undefined
    for await (const event of client.events(id)) {
      last = event
      const { device } = await client.job(id)
      if (event.type === 'model-loaded' || event.type === 'worker-restarted') {
        // The replacement needs a moment to come up.
        await expect.poll(() => workerOf(device ?? ''), PATIENTLY).toBeGreaterThan(0)
        await killWorker(device ?? '')
      }
    }
    expect(last).toMatchObject({
      ...{ type: 'failed', error: { code: 'WORKER_LOST', message: expect.stringContaining('died 4 times') as string } },
    })
    expect((await runJob({ ...REQUEST, numInferenceSteps: 2 })).types.at(-1)).toBe('completed')
  })

  it('stops within its step when it is cancelled, and leaves no memory taken', async () => {
    const { types } = await runJob({ ...REQUEST, numInferenceSteps: 900 }, (step) => {
      if (step !== 3) return
      void jobThatRuns().then((id) => client.cancel(id))
    })
    expect(types.at(-1)).toBe('cancelled')
    expect(types.filter((type) => type === 'step').length).toBeLessThan(900)
    expect((await client.status()).arena.used).toBe(0)
  })

  it('is cancelled by Ctrl-C in the command that asked for it', async () => {
    const command = sandbox.start(['generate', 'a red star', '--steps', '900', '-o', 'never.png', '-q'])
    const id = await jobThatRuns()
    command.kill('SIGINT')
    const { exitCode, stderr, stdout } = await command
    expect({ exitCode, stderr, stdout }).toEqual({ exitCode: 130, stderr: 'Error: Cancelled.', stdout: '' })
    expect((await client.job(id)).state).toBe('cancelled')
    expect(existsSync(join(sandbox.directory, 'never.png'))).toBe(false)
  })

  it('goes on when the command that asked for it is killed', async () => {
    const command = sandbox.start(['generate', 'a red star', '--steps', '60', '-o', 'never.png', '-q'])
    const id = await jobThatRuns()
    command.kill('SIGKILL')
    await command
    await expect.poll(async () => (await client.job(id)).state, PATIENTLY).toBe('completed')
    expect(isRunning((await client.status()).pid)).toBe(true)
  })

  it('fails the command whose daemon dies', async () => {
    const command = sandbox.start(['generate', 'a red star', '--steps', '900', '-o', 'never.png', '-q'])
    await jobThatRuns()
    process.kill((await client.status()).pid, 'SIGKILL')
    const { exitCode, stderr } = await command
    // Whether the command was connected at that moment is a matter of luck.
    const sentence = /^Error: The (connection to the daemon broke|daemon is not running)[^\n]*$/
    expect([exitCode, stderr]).toEqual([3, expect.stringMatching(sentence)])
    expect(existsSync(join(sandbox.directory, 'never.png'))).toBe(false)
  })
})
