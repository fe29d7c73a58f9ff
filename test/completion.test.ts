import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSandbox, type Sandbox } from './support/sandbox.js'

let sandbox: Sandbox
let bin: string

beforeAll(async () => {
  sandbox = createSandbox()
  bin = join(sandbox.directory, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'swiftd'), `#!/bin/sh\nexec '${process.execPath}' '${resolve('bin/run.js')}' "$@"\n`)
  chmodSync(join(bin, 'swiftd'), 0o755)
  writeFileSync(join(bin, 'completion.bash'), (await sandbox.run(['completion', 'bash'])).stdout)
})
afterAll(() => sandbox.dispose())

/** What bash offers when the tab key is pressed at the end of `line`. */
async function complete(line: string): Promise<string[]> {
  const script = `
    source '${join(bin, 'completion.bash')}'
    COMP_LINE="$1" COMP_POINT=\${#1}
    read -r -a COMP_WORDS <<< "$1"
    [[ $1 == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
    _swiftd
    printf '%s\\n' "\${COMPREPLY[@]}"`
  const env = { ...sandbox.env, PATH: `${bin}:${sandbox.env.PATH}` }
  const { stdout } = await execa('bash', ['-c', script, 'bash', line], {
    env,
    extendEnv: false,
    cwd: sandbox.directory,
  })
  return stdout.split('\n').filter((word) => word !== '')
}

describe('completion', () => {
  it('knows commands and the words behind them', async () => {
    expect(await complete('swiftd gen')).toEqual(['generate'])
    expect(await complete('swiftd dae')).toEqual(['daemon'])
    expect(await complete('swiftd daemon st')).toEqual(['start', 'status', 'stop'])
    expect(await complete('swiftd completion ')).toEqual(['bash', 'zsh', 'fish'])
  })

  it('knows the flags of each command, and the words that they take', async () => {
    expect(await complete('swiftd generate "a star" --gui')).toEqual(expect.arrayContaining(['--guidance-scale']))
    expect(await complete('swiftd jobs list --state c')).toEqual(['completed', 'cancelled'])
    expect(await complete('swiftd config list --o')).toEqual(['--origin'])
  })

  it('asks for the names of models, settings and devices', async () => {
    expect(await complete('swiftd generate --model d')).toEqual(['demo'])
    expect(await complete('swiftd config set ste')).toEqual(['steps'])
    expect((await sandbox.run(['completion', 'values', 'devices'])).stdout).toBe('cpu:0')
  })

  it('offers the devices of the daemon that runs for a job, and those of the machine for a daemon', async () => {
    const machine = { env: { VK_DRIVER_FILES: '/no/driver.json' } }
    const { stdout } = await sandbox.run(['completion', 'values', 'machine-devices'], machine)
    expect(stdout.split('\n')).toEqual(expect.arrayContaining(['cpu:0', 'webgpu:0']))
    expect(await complete('swiftd daemon start --device cpu')).toEqual(['cpu:0'])
    await sandbox.run(['daemon', 'start', '--device', 'cpu:2=1', '--device', 'cpu:5=1'])
    await expect
      .poll(async () => (await sandbox.run(['completion', 'values', 'devices'])).stdout, { timeout: 20_000 })
      .toBe('cpu:2\ncpu:5')
    await sandbox.run(['daemon', 'stop'])
  })

  it('is quiet where there is nothing to name', async () => {
    expect(await sandbox.run(['completion', 'values', 'jobs'])).toMatchObject({ exitCode: 0, stdout: '', stderr: '' })
    expect((await sandbox.run(['--help'])).stdout).not.toContain('completion values')
  })

  it('has a script for each shell, which offers every command', async () => {
    for (const shell of ['zsh', 'fish']) {
      const { stdout } = await sandbox.run(['completion', shell])
      for (const command of ['generate', 'jobs list', 'daemon restart']) expect(stdout).toContain(command)
    }
    expect((await sandbox.run(['completion', 'tcsh'])).exitCode).toBe(2)
  })
})
