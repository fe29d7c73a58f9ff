import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DaemonClient } from '../src/daemon/client/client.js'
import type { JobEvent } from '../src/daemon/protocol/event.js'
import type { Plan, PlanRequest } from '../src/daemon/protocol/plan.js'
import type { GenerateRequest } from '../src/daemon/protocol/request.js'
import { createSandbox, type Sandbox } from './support/sandbox.js'

/** The machine may be busy. */
const PATIENTLY = { timeout: 30_000 }
const REQUEST: GenerateRequest = { prompt: 'a large red star on a blue background', seed: 7, numInferenceSteps: 2 }
let sandbox: Sandbox
let client: DaemonClient

beforeAll(async () => {
  sandbox = createSandbox()
  await sandbox.run(['daemon', 'start', '--device', 'cpu:0=1', '--device', 'cpu:1=1'])
  client = sandbox.connect()
})
afterAll(() => sandbox.dispose())

/** Waits until no device has a job any more: the last one's end is told a moment before. */
async function allIdle(): Promise<void> {
  const isIdle = async () => (await client.status()).devices.every(({ state }) => state === 'idle')
  await expect.poll(isIdle, PATIENTLY).toBe(true)
}

async function eventsOf(request: GenerateRequest): Promise<JobEvent[]> {
  await allIdle()
  const { id } = await client.submit(request)
  const events: JobEvent[] = []
  for await (const event of client.events(id)) events.push(event)
  return events
}

describe('plan', () => {
  it('measures what is not known, and predicts a step for each placement', async () => {
    const request: PlanRequest = { controls: ['canny'], latentParallel: 'auto' }
    await allIdle()
    const before = await client.plan({ ...request, measure: false })
    expect(before).toMatchObject({ measured: false, chosen: { base: 'cpu:0', controlNets: ['cpu:1'] } })
    const plan = await client.plan(request)
    expect(plan).toMatchObject({ model: 'demo', width: 128, height: 128, measured: true, notes: [] })
    expect(plan.devices).toMatchObject([
      { name: 'cpu:0', threads: 1, roles: ['base', 'controlnet'] },
      { name: 'cpu:1', threads: 1, roles: ['base', 'controlnet'] },
    ])
    const descriptions = plan.candidates.map(({ description }) => description).sort()
    expect(descriptions).toEqual([
      ...['cpu:0 with canny', 'cpu:0, canny on cpu:1', 'halves on cpu:0 and cpu:1, each with canny'],
    ])
    const times = plan.candidates.map(({ predictedStepMs = 0 }) => predictedStepMs)
    expect(times.every((ms) => ms > 0)).toBe(true)
    expect(times).toEqual([...times].sort((a, b) => a - b))
    expect(descriptions).toContain(plan.chosen?.description)
    // Nothing is measured twice: the same times give the same plan.
    expect(await client.plan(request)).toMatchObject({ candidates: plan.candidates, chosen: plan.chosen })
  })

  it('is what a job gets', async () => {
    const { chosen } = await client.plan({ latentParallel: 'auto' })
    const events = await eventsOf({ ...REQUEST, latentParallel: 'auto' })
    expect(events.at(-1)?.type).toBe('completed')
    expect(events.filter(({ type }) => type === 'warning')).toEqual([])
    const [step] = events.filter((event) => event.type === 'step')
    const devices = (step.devices ?? []).map(({ device }) => device)
    expect(devices).toEqual(chosen?.second === undefined ? ['cpu:0'] : ['cpu:0', 'cpu:1'])
  })

  it('is measured by a job that needs it', async () => {
    const events = await eventsOf({ ...REQUEST, width: 64, height: 64, latentParallel: 'auto' })
    expect(events.at(-1)?.type).toBe('completed')
    expect(await client.plan({ width: 64, height: 64, latentParallel: 'auto', measure: false })).toMatchObject({
      measured: true,
    })
  })

  it('refuses devices that are not there before anything runs', async () => {
    const refused = await sandbox.run(['generate', 'a star', '--base-device', 'cpu:7'])
    expect(refused).toMatchObject({ exitCode: 2, stdout: '' })
    expect(refused.stderr).toContain('There is no device "cpu:7"; the daemon has cpu:0, cpu:1.')
  })
})

describe('swiftd devices', () => {
  it('lists the devices and where the next job runs', async () => {
    await allIdle()
    const { exitCode, stdout } = await sandbox.run(['devices'])
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^DEVICE +THREADS +PRECISION +STATE +JOB +ROLES/)
    expect(stdout).toMatch(/^cpu:1 +1 +float32 +idle +base, controlnet /m)
    expect(stdout).toContain('The next job of demo at 128x128: cpu:0.')
  })

  it('explains the choice with the predicted step of each placement', async () => {
    const args = ['devices', '--explain', '--control', 'canny', '--width', '64', '--height', '64']
    const { exitCode, stdout } = await sandbox.run(args)
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^\*? +\d+\.\d +cpu:0, canny on cpu:1$/m)
    expect(stdout).toMatch(/^\*? +\d+\.\d +halves on cpu:0 and cpu:1, each with canny$/m)
    expect(stdout.match(/^\* /gm)).toHaveLength(1)
    const plan = JSON.parse((await sandbox.run([...args, '--json'])).stdout) as Plan
    expect(plan).toMatchObject({ width: 64, measured: true })
    expect(stdout).toContain(`The next job of demo at 64x64: ${plan.chosen?.description}.`)
  })
})

describe('roles of devices', () => {
  it('come from flags of daemon start, stay over a restart, and are refused for devices that are not there', async () => {
    const other = createSandbox({ SWIFTD_DEVICES: '', SWIFTD_TEXT_DEVICE: 'cpu:1' })
    try {
      const devices = ['--device', 'cpu:0=1', '--device', 'cpu:1=1']
      const wrong = await other.run(['daemon', 'start', ...devices, '--controlnet-device', 'cpu:2'])
      expect(wrong.exitCode).toBe(2)
      expect(wrong.stderr).toContain('There is no device "cpu:2"; the daemon has cpu:0, cpu:1.')
      await other.run(['daemon', 'start', ...devices, '--base-device', 'cpu:0', '--controlnet-device', 'cpu:1'])
      const rolesNow = async () => {
        const { devices: listed } = JSON.parse((await other.run(['devices', '--json'])).stdout) as Plan
        return listed.map(({ name, roles }) => `${name} ${roles.join()}`)
      }
      expect(await rolesNow()).toEqual(['cpu:0 base', 'cpu:1 controlnet'])
      const { stdout } = await other.run(['devices'])
      expect(stdout).toContain('at 128x128: cpu:0, text encoders and autoencoder on cpu:1.')
      await other.run(['daemon', 'restart'])
      expect(await rolesNow()).toEqual(['cpu:0 base', 'cpu:1 controlnet'])
    } finally {
      await other.dispose()
    }
  })
})
