import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSandbox, type Sandbox } from './support/sandbox.js'
import { CTRL_C, openTerminal, type TerminalOptions, type TerminalSession } from './support/terminal.js'

const PATIENTLY = { timeout: 30_000, interval: 20 }
let sandbox: Sandbox

beforeAll(async () => {
  sandbox = createSandbox()
  await sandbox.run(['daemon', 'start'])
})
afterAll(() => sandbox.dispose())

function swiftd(args: readonly string[], options?: TerminalOptions): TerminalSession {
  return openTerminal([process.execPath, resolve('bin/run.js'), ...args], sandbox, options)
}

const text = (session: TerminalSession): string => session.screen().join('\n')
/** The step that the screen shows, or 0. */
const shownStep = (session: TerminalSession): number => Number(/(\d+)\/900/.exec(text(session))?.[1] ?? 0)
const LONG = ['generate', 'a red star', '--steps', '900', '--seed', '1']

describe('generate in a terminal', () => {
  it('shows progress that moves, a preview and the device, and cancels the job at Ctrl-C', async () => {
    const session = swiftd(LONG)
    await expect.poll(() => shownStep(session), PATIENTLY).toBeGreaterThan(0)
    const first = shownStep(session)
    await expect.poll(() => shownStep(session), PATIENTLY).toBeGreaterThan(first)
    expect(text(session)).toMatch(/█*░+ step \d+\/900 · σ \d+\.\d\d · \d+\.\d\d s\/step · \d+ s left/)
    await expect.poll(() => text(session), PATIENTLY).toContain('▀▀▀▀')
    expect(text(session)).toMatch(/^cpu:0 /m)

    session.type(CTRL_C)
    expect((await session.exit).exitCode).toBe(130)
    expect(text(session)).toContain('Cancelled')
    // The view is gone, and the daemon has stopped computing.
    expect(text(session)).not.toContain('step')
    const jobs = await sandbox.connect().jobs()
    expect(jobs.map(({ state }) => state)).toEqual(['cancelled'])
  })

  it('ends at once when Ctrl-C is pressed twice', async () => {
    const session = swiftd(LONG)
    await expect.poll(() => shownStep(session), PATIENTLY).toBeGreaterThan(0)
    session.type(CTRL_C + CTRL_C)
    expect((await session.exit).exitCode).toBe(130)
    await expect
      .poll(async () => (await sandbox.connect().jobs()).every(({ state }) => state === 'cancelled'), PATIENTLY)
      .toBe(true)
  })

  it('fits a narrow window, and follows it when it changes', async () => {
    const session = swiftd(LONG, { columns: 20, rows: 10 })
    await expect.poll(() => shownStep(session), PATIENTLY).toBeGreaterThan(0)
    const bars = (): string[] => session.screen().filter((line) => line.includes('/900'))
    // A line that did not fit would have been broken in two, and drawn again and again below.
    const first = shownStep(session)
    await expect.poll(() => shownStep(session), PATIENTLY).toBeGreaterThan(first)
    expect(bars()).toHaveLength(1)
    session.resize(100, 30)
    await expect.poll(() => text(session), PATIENTLY).toMatch(/step \d+\/900 · σ/)
    session.type(CTRL_C)
    await session.exit
  })

  it('leaves the path of the image on the screen and nothing of the view, and shows the image if asked', async () => {
    const session = swiftd(['generate', 'a red star', '--steps', '30', '--show', '-o', 'shown.png'])
    expect((await session.exit).exitCode).toBe(0)
    const lines = session.screen()
    expect(lines.at(-1)).toBe(join(sandbox.directory, 'shown.png'))
    expect(lines.filter((line) => line.includes('▀')).length).toBeGreaterThan(8)
    expect(text(session)).not.toContain('s/step')
    expect(existsSync(join(sandbox.directory, 'shown.png'))).toBe(true)
  })

  it.each([['NO_COLOR'], ['CI']])('writes plain lines where %s is set', async (name) => {
    const session = swiftd(['generate', 'a red star', '--steps', '3', '-o', 'plain.png'], { env: { [name]: '1' } })
    expect((await session.exit).exitCode).toBe(0)
    expect(session.output).not.toContain('\x1b')
    expect(session.output).toContain('Step 3/3')
  })

  it('speaks in sentences to a screen reader', async () => {
    const session = swiftd(LONG, { env: { INK_SCREEN_READER: 'true' } })
    await expect.poll(() => text(session), PATIENTLY).toMatch(/\d+ percent of 900 steps done/)
    expect(text(session)).not.toMatch(/[█░▀]/)
    session.type(CTRL_C)
    await session.exit
  })

  it('keeps stdout for the image where that is a pipe, and shows progress beside it', async () => {
    const shell = `'${process.execPath}' '${resolve('bin/run.js')}' generate 'a red star' --steps 250 -o - | wc -c > size.txt; cat size.txt`
    const session = openTerminal(['bash', '-c', shell], sandbox)
    let sawBar = false
    session.watch(() => (sawBar ||= text(session).includes('step')))
    await session.exit
    expect(sawBar).toBe(true)
    expect(Number(session.screen().at(-1))).toBeGreaterThan(1000)
  })
})

describe('a daemon of another version', () => {
  it('is restarted if the person agrees', async () => {
    const other = createSandbox()
    try {
      const { mkdirSync } = await import('node:fs')
      mkdirSync(other.paths.runtimeDirectory, { mode: 0o700 })
      const program = [process.execPath, resolve('test/support/other-daemon.mjs'), other.paths.socket]
      const daemon = openTerminal(program, other)
      await expect.poll(() => existsSync(other.paths.socket), PATIENTLY).toBe(true)
      const args = ['generate', 'a red star', '--steps', '1', '-o', 'a.png']
      const session = openTerminal([process.execPath, resolve('bin/run.js'), ...args], other)
      await expect
        .poll(() => text(session), PATIENTLY)
        .toContain('The running daemon is swiftd 9.9.9. Restart it? [Y/n]')
      session.type('y\r')
      expect((await session.exit).exitCode).toBe(0)
      await daemon.exit
      expect(existsSync(join(other.directory, 'a.png'))).toBe(true)
    } finally {
      await other.dispose()
    }
  })
})

describe('top', () => {
  it('shows what the daemon does, keeps up with it, and quits at q', async () => {
    const client = sandbox.connect()
    const { id } = await client.submit({ prompt: 'a red star', numInferenceSteps: 900 })
    const session = swiftd(['top'], { columns: 40, rows: 16 })
    await expect.poll(() => shownStep(session), PATIENTLY).toBeGreaterThan(0)
    const first = shownStep(session)
    await expect.poll(() => shownStep(session), PATIENTLY).toBeGreaterThan(first)
    expect(text(session)).toMatch(/steps\/s/)
    await client.cancel(id)
    await expect.poll(() => text(session), PATIENTLY).toMatch(/^cpu:0 idle/m)
    session.type('q')
    expect((await session.exit).exitCode).toBe(0)
  })

  it('prints the state once where nobody watches', async () => {
    const { exitCode, stdout } = await sandbox.run(['top'])
    expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/^DEVICE +THREADS +STATE/m)])
  })
})
