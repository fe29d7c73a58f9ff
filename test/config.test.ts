import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ConfigListResult } from '../src/commands/config/list.js'
import { createSandbox, type Sandbox } from './support/sandbox.js'

let sandbox: Sandbox
let file: string

beforeEach(() => {
  sandbox = createSandbox()
  file = join(sandbox.env.HOME, '.config/swiftd/config.json')
})
afterEach(() => sandbox.dispose())

describe('config', () => {
  it('sets, gets, lists and unsets a value', async () => {
    expect(await sandbox.run(['config', 'path'])).toMatchObject({ exitCode: 0, stdout: file })
    expect(existsSync(file)).toBe(false)
    // A beginning of the name is enough where no other has it.
    expect(await sandbox.run(['config', 'set', 'ste', '12'])).toMatchObject({ exitCode: 0, stdout: 'steps = 12' })
    expect(await sandbox.run(['config', 'set', 'devices', 'cpu:0=1,cpu:1=1'])).toMatchObject({ exitCode: 0 })
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ steps: 12, devices: ['cpu:0=1', 'cpu:1=1'] })
    expect((await sandbox.run(['config', 'get', 'steps'])).stdout).toBe('12')

    const { stdout } = await sandbox.run(['config', 'list', '--origin'], { env: { SWIFTD_MODEL: 'fox' } })
    expect(stdout).toMatch(/^steps +12 +config \(.*config\.json\)$/m)
    expect(stdout).toMatch(/^model +fox +environment \(SWIFTD_MODEL\)$/m)
    expect(stdout).toMatch(/^width +\(what suits the model\) +default$/m)
    const json = JSON.parse((await sandbox.run(['config', 'list', '--json'])).stdout) as ConfigListResult
    expect(json.settings.find(({ key }) => key === 'steps')).toMatchObject({ value: 12, origin: 'config' })

    expect(await sandbox.run(['config', 'unset', 'steps'])).toMatchObject({ stdout: 'steps is not set any more' })
    expect(await sandbox.run(['config', 'unset', 'steps'])).toMatchObject({ exitCode: 0, stdout: 'steps was not set' })
    expect((await sandbox.run(['config', 'get', 'steps'])).stdout).toBe('')
  })

  it('refuses what is not allowed, and leaves the file as it is', async () => {
    const refused = await sandbox.run(['config', 'set', 'steps', '0'])
    expect(refused).toMatchObject({
      ...{ exitCode: 2, stderr: 'Error: steps must be a whole number from 1 to 1000, not "0".' },
    })
    expect((await sandbox.run(['config', 'set', 'gudance', '7'])).stderr).toContain('did you mean guidance-scale')
    expect(existsSync(file)).toBe(false)
  })

  it('tells one sentence about a damaged file, in every command that needs it', async () => {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, '{"steps": ')
    const sentence = `Error: The configuration file ${file} is not JSON; correct it, or remove it to return to the defaults.`
    for (const args of [
      ['config', 'list'],
      ['config', 'set', 'steps', '3'],
      ['daemon', 'start'],
    ]) {
      expect(await sandbox.run(args)).toMatchObject({ exitCode: 2, stdout: '', stderr: sentence })
    }
    expect(readFileSync(file, 'utf8')).toBe('{"steps": ')
    expect((await sandbox.run(['config', 'path'])).exitCode).toBe(0)
  })

  it('decides whether commands start the daemon', async () => {
    await sandbox.run(['config', 'set', 'autostart', 'off'])
    const { exitCode, stderr } = await sandbox.run(['generate', 'a red star', '-q'])
    expect([exitCode, stderr]).toEqual([3, 'Error: The daemon is not running; start it with "swiftd daemon start".'])
  })
})

describe('an unknown command', () => {
  it('is answered with the nearest one, also as JSON', async () => {
    const sentence = 'There is no command "genrate"; did you mean "generate"?'
    expect(await sandbox.run(['genrate', 'a cat'])).toMatchObject({
      exitCode: 2,
      stdout: '',
      stderr: `Error: ${sentence}`,
    })
    const { exitCode, stdout } = await sandbox.run(['genrate', '--json'])
    expect([exitCode, JSON.parse(stdout)]).toEqual([2, { error: { code: 'INVALID_REQUEST', message: sentence } }])
  })
})
