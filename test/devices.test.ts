import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DevicesResult } from '../src/commands/devices.js'
import { isNvidiaDriverLoaded } from '../src/daemon/gpus/machine.js'
import { isCudaInstalled, isCudaOffered } from '../src/daemon/gpus/runtime-package.js'
import { createSandbox, isRunning, type Sandbox } from './support/sandbox.js'

/**
 * Stands in for a machine with two NVIDIA GPUs: programs in the place of lspci and nvidia-smi that print what those print. The
 * package that reads it, and everything else, is real.
 */
const LSPCI = `
f1:00.0 VGA compatible controller: NVIDIA Corporation GA104GL [RTX A4000] (rev a1) (prog-if 00 [VGA controller])
\tSubsystem: NVIDIA Corporation GA104GL [RTX A4000]
\tRegion 0: Memory at f5000000 (32-bit, non-prefetchable) [size=16M]

f2:00.0 VGA compatible controller: NVIDIA Corporation GA104GL [RTX A4000] (rev a1) (prog-if 00 [VGA controller])
\tSubsystem: NVIDIA Corporation GA104GL [RTX A4000]
\tRegion 0: Memory at f6000000 (32-bit, non-prefetchable) [size=16M]
`
const nvidiaSmi = (driver: string): string =>
  ['F1', 'F2']
    .map((bus, index) =>
      [
        driver,
        '0x14AD10DE',
        'NVIDIA RTX A4000',
        `00000000:${bus}:00.0`,
        41,
        16376,
        376 + index,
        16000 - index,
        50,
        3,
        40,
        '[N/A]',
        30.5,
        140,
        1560,
        7001,
      ].join(', '),
    )
    .join('\n')

/** Elsewhere a command that hangs is not named. */
const onLinux = process.platform === 'linux'

let directory: string
let sandbox: Sandbox
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'swiftd-gpus-'))
  sandbox = createSandbox()
})
afterAll(async () => {
  await sandbox.dispose()
  rmSync(directory, { recursive: true, force: true })
})

/** The environment of the machine with GPUs. */
function withGpus(driver = '550.54.14'): Record<string, string> {
  const print = (name: string, text: string): void => {
    writeFileSync(join(directory, name), `#!/bin/sh\ncat <<'END'\n${text}\nEND\n`)
    chmodSync(join(directory, name), 0o755)
  }
  print('lspci', LSPCI)
  print('nvidia-smi', nvidiaSmi(driver))
  return { PATH: `${directory}:${process.env.PATH}` }
}

/** The same, but one of the programs hangs; it leaves its process number. */
function withHanging(name: string): Record<string, string> {
  const env = withGpus()
  writeFileSync(join(directory, name), `#!/bin/sh\necho $$ > ${directory}/pid\nsleep 300\n`)
  return { ...env, SWIFTD_GPU_LIST_DEADLINE_MS: '2000' }
}

async function devices(env: Record<string, string> = {}, ...flags: string[]): Promise<DevicesResult> {
  const { exitCode, stdout, stderr } = await sandbox.run(['devices', '--json', ...flags], { env })
  expect([exitCode, stderr]).toEqual([0, ''])
  return JSON.parse(stdout) as DevicesResult
}

describe('devices without a daemon', () => {
  it('tell what the machine has', async () => {
    const { running, machine = [] } = await devices()
    expect(running).toBe(false)
    expect(machine[0]).toMatchObject({ name: 'cpu:0', provider: 'cpu', usable: true })
    expect(machine[0].memory?.freeBytes).toBeGreaterThan(0)
    const { exitCode, stdout } = await sandbox.run(['devices'])
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^The daemon is not running; this is what it can use:\n\nDEVICE +HARDWARE +FREE MEMORY/)
  })

  it('cannot be planned with', async () => {
    const { exitCode, stderr } = await sandbox.run(['devices', '--explain'])
    expect(exitCode).toBe(3)
    expect(stderr).toContain('The daemon is not running')
  })

  it.skipIf(isCudaInstalled() || !isCudaOffered())('tell of GPUs, and what CUDA needs', async () => {
    const { machine = [] } = await devices(withGpus())
    const gpu = { hardware: 'NVIDIA RTX A4000', driver: '550.54.14', utilization: 0.5 }
    const cuda = { ...gpu, usable: false, remedy: 'run "swiftd gpu install"' }
    expect(machine.slice(1)).toMatchObject([
      {
        ...cuda,
        name: 'cuda:0',
        address: '0000:f1:00.0',
        memory: { totalBytes: 16376 * 2 ** 20, freeBytes: 16000 * 2 ** 20 },
      },
      { ...cuda, name: 'cuda:1', address: '0000:f2:00.0', memory: { freeBytes: 15999 * 2 ** 20 } },
      { ...gpu, name: 'webgpu:0', usable: null },
      { ...gpu, name: 'webgpu:1', usable: null },
    ])
    const { stdout } = await sandbox.run(['devices'], { env: withGpus() })
    expect(stdout).toMatch(/^cuda:1 +NVIDIA RTX A4000 +15.6 GiB of 16.0 GiB|^cuda:1 +NVIDIA RTX A4000 /m)
    expect(stdout).toContain('cuda:0 cannot be used: the CUDA provider is not installed; run "swiftd gpu install".')
    expect(stdout).toContain('"swiftd devices --check" runs a small graph on what was not tried.')
  })

  it.skipIf(!isCudaOffered())('tell of a driver that is too old', async () => {
    const { machine = [] } = await devices(withGpus('470.256.02'))
    expect(machine[1]).toMatchObject({
      name: 'cuda:0',
      usable: false,
      reason: 'the NVIDIA driver 470.256.02 is too old',
    })
  })

  it.runIf(onLinux).each(['nvidia-smi', 'lspci'])('are told although %s hangs, which is ended', async (name) => {
    const { machine = [], machineFailure } = await devices(withHanging(name))
    expect(machineFailure).toBe(`${name} gave no answer within 2 s`)
    expect(machine[0]).toMatchObject({ name: 'cpu:0', usable: true })
    await expect.poll(() => isRunning(Number(readFileSync(join(directory, 'pid'), 'utf8')))).toBe(false)
  })

  it.runIf(onLinux)('say which command hangs, and what can be done', async () => {
    const { exitCode, stdout } = await sandbox.run(['devices'], { env: withHanging('nvidia-smi') })
    expect(exitCode).toBe(0)
    expect(stdout).toContain(
      'The GPUs could not be listed: nvidia-smi gave no answer within 2 s; see what that command',
    )
    expect(stdout).not.toContain('No GPU was found')
  })

  it('are those that CUDA_VISIBLE_DEVICES leaves', async () => {
    const { machine = [] } = await devices({ ...withGpus(), CUDA_VISIBLE_DEVICES: '1' })
    const cuda = machine.filter(({ provider }) => provider === 'cuda')
    expect(cuda).toMatchObject([{ name: 'cuda:0', address: '0000:f2:00.0' }])
  })
})

describe('a daemon', () => {
  const start = (env: Record<string, string>, ...args: string[]) => sandbox.run(['daemon', 'start', ...args], { env })

  it('is not started with a GPU that is not there: it says which are', async () => {
    const { exitCode, stderr } = await start({ ...withGpus(), SWIFTD_DEVICES: 'cpu:0=1,cuda:7' })
    expect(exitCode).toBe(2)
    expect(stderr).toContain('There is no device cuda:7; this machine has cpu:0, cuda:0 (NVIDIA RTX A4000), cuda:1')
  })

  it('is not started with one that the settings name and that is not there', async () => {
    await sandbox.run(['config', 'set', 'devices', 'webgpu:98,cpu:0=1'])
    const { exitCode, stderr } = await start({ SWIFTD_DEVICES: '' })
    expect(exitCode).toBe(2)
    expect(stderr).toContain('There is no device webgpu:98')
    await sandbox.run(['config', 'unset', 'devices'])
  })

  it.skipIf(isCudaInstalled() || !isCudaOffered())('is not started with CUDA where that is not installed', async () => {
    const { exitCode, stderr } = await start(withGpus(), '--device', 'cuda:0')
    expect(exitCode).toBe(15)
    expect(stderr).toContain('cuda:0 cannot be used: the CUDA provider is not installed; run "swiftd gpu install".')
  })

  it('is not started with one GPU as two devices', async () => {
    const { exitCode, stderr } = await start(withGpus(), '--device', 'cuda:1', '--device', 'webgpu:1')
    expect(exitCode).toBe(2)
    expect(stderr).toContain('The devices cuda:1 and webgpu:1 are the same GPU (NVIDIA RTX A4000)')
  })

  it.runIf(onLinux)('starts though nvidia-smi hangs, with the GPUs that it was told', async () => {
    const env = withHanging('nvidia-smi')
    expect(await start(env, '--device', 'cpu:0=1', '--device', 'webgpu:3')).toMatchObject({ exitCode: 0 })
    const { devices: known } = await sandbox.connect().status()
    expect(known.map(({ name }) => name)).toEqual(['cpu:0', 'webgpu:3'])
    const { stdout } = await sandbox.run(['daemon', 'logs'])
    expect(stdout).toContain('The GPUs could not be listed: nvidia-smi gave no answer within 2 s')
    await sandbox.run(['daemon', 'stop'])
  })

  it('refuses a job that asks for a device that it does not have', async () => {
    const { exitCode, stderr } = await sandbox.run(['generate', 'a star', '--base-device', 'cuda:7'])
    expect(exitCode).toBe(2)
    expect(stderr).toContain('There is no device "cuda:7"; the daemon has cpu:0.')
  })
})

describe('gpu install', () => {
  const install = (env: Record<string, string>, ...args: string[]) => sandbox.run(['gpu', 'install', ...args], { env })

  it.skipIf(isNvidiaDriverLoaded())('needs a driver', async () => {
    const { exitCode, stdout, stderr } = await install({})
    expect([exitCode, stdout]).toEqual([15, ''])
    expect(stderr).toMatch(
      isCudaOffered() ? /no NVIDIA driver is loaded; install .* with --force\.$/m : /Linux on x64 only/,
    )
  })

  it.skipIf(!isCudaOffered())('says that the network cannot be reached', async () => {
    const { exitCode, stdout } = await install({ GLOBAL_AGENT_HTTPS_PROXY: 'http://127.0.0.1:9' }, '--force', '--json')
    expect(exitCode).toBe(14)
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'DOWNLOAD_FAILED' } })
    expect(isCudaInstalled()).toBe(false)
  })
})
