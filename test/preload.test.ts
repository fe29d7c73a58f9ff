import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Preloaded } from '../src/daemon/protocol/preload.js'
import type { Resident } from '../src/daemon/protocol/status.js'
import { createSandbox, type Sandbox } from './support/sandbox.js'

let sandbox: Sandbox

beforeAll(async () => {
  sandbox = createSandbox()
  await sandbox.run(['daemon', 'start', '--lora-preload', 'neon'])
})
afterAll(() => sandbox.dispose())

const residents = async (): Promise<readonly Resident[]> => {
  const { stdout } = await sandbox.run(['ps', '--json'])
  return (JSON.parse(stdout) as { residents: Resident[] }).residents
}
const preload = async (...args: string[]): Promise<Preloaded[]> => {
  const { stdout } = await sandbox.run([...args, '--json'])
  return (JSON.parse(stdout) as { preloaded: Preloaded[] }).preloaded
}

describe('what is made ready before a job asks', () => {
  it('is there soon after a daemon starts that was told so', async () => {
    const names = async (): Promise<string[]> => (await residents()).map(({ name }) => name)
    await expect.poll(names, { timeout: 30_000 }).toContain('neon:1 on demo')
  })

  it('is made once, and found by the next one who asks', async () => {
    const args = ['lora', 'preload', 'stripes', '--model', 'demo', '--weights', '0.5']
    const [first] = await preload(...args)
    const [again] = await preload(...args)
    expect([first, again]).toMatchObject([
      { name: 'stripes', device: 'cpu:0', cached: false },
      { name: 'stripes', device: 'cpu:0', cached: true, bytes: first.bytes },
    ])
    expect(first.bytes).toBeGreaterThan(1_000_000)
  })

  it('is one overlay for several LoRAs together, and a file that was read without a model', async () => {
    const together = await preload('lora', 'preload', 'stripes', 'neon', '--model', 'demo', '--together')
    expect(together.map(({ name }) => name)).toEqual(['stripes + neon'])
    const [read] = await preload('lora', 'preload', 'stripes')
    expect(read).not.toHaveProperty('device')
  })

  it('stays when it is pinned', async () => {
    await preload('controlnet', 'preload', 'canny', '--pin')
    const isPinned = async (): Promise<boolean | undefined> =>
      (await residents()).find(({ name }) => name === 'canny')?.pinned
    expect(await isPinned()).toBe(true)
    await preload('controlnet', 'preload', 'canny', '--no-pin')
    expect(await isPinned()).toBeUndefined()
  })

  it('has a name that is known, or the nearest names are told', async () => {
    const { exitCode, stderr } = await sandbox.run(['lora', 'preload', 'nean', '--model', 'demo'])
    expect(exitCode).toBe(4)
    expect(stderr).toMatch(/There is no LoRA "nean"; give one of the names neon/)
  })
})
