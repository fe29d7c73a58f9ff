import { existsSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DoctorResult } from '../src/commands/doctor.js'
import type { JobListResult } from '../src/commands/jobs/list.js'
import { DaemonStatusSchema } from '../src/daemon/protocol/status.js'
import { createSandbox, type Sandbox } from './support/sandbox.js'

let sandbox: Sandbox

beforeAll(async () => {
  sandbox = createSandbox()
  await sandbox.run(['daemon', 'start'])
})
afterAll(() => sandbox.dispose())

describe('jobs', () => {
  it('are listed, shown, waited for and cancelled by the beginning of their id', async () => {
    const client = sandbox.connect()
    const long = await client.submit({ prompt: 'a red star', numInferenceSteps: 900, seed: 3 })
    const short = await client.submit({ prompt: 'a green circle', numInferenceSteps: 2, seed: 4 })
    const prefix = (id: string): string => id.slice(0, 8)

    const { stdout } = await sandbox.run(['jobs', 'list'])
    expect(stdout).toMatch(/^ID +STATE +PROGRESS +DEVICE +MODEL +SUBMITTED +PROMPT$/m)
    expect(stdout).toMatch(new RegExp(`^${short.id} +queued +waits behind 1 +demo +just now +a green circle$`, 'm'))
    const queued = await sandbox.run(['jobs', 'list', '-q', '--state', 'queued'])
    expect(queued.stdout).toBe(short.id)
    const shown = await sandbox.run(['jobs', 'show', prefix(long.id)])
    expect(shown.stdout).toMatch(/^numInferenceSteps +900$/m)

    const gaveUp = await sandbox.run(['jobs', 'wait', prefix(short.id), '--timeout', '0.1', '-q'])
    expect([gaveUp.exitCode, gaveUp.stderr]).toEqual([124, expect.stringContaining('it goes on')])
    expect(await sandbox.run(['jobs', 'cancel', prefix(long.id)])).toMatchObject({ stdout: `${long.id} cancelled` })
    const waited = await sandbox.run(['jobs', 'wait', prefix(short.id), '-o', 'circle.png', '-q'])
    expect(waited).toMatchObject({ exitCode: 0, stdout: join(sandbox.directory, 'circle.png') })
    expect(existsSync(join(sandbox.directory, 'circle.png'))).toBe(true)
    // The exit code is that of the job, and what is finished stays as it is.
    expect((await sandbox.run(['jobs', 'wait', long.id, '-q'])).exitCode).toBe(130)
    expect((await sandbox.run(['jobs', 'cancel', short.id])).stdout).toBe(`${short.id} is completed`)
    const { jobs } = JSON.parse((await sandbox.run(['jobs', 'list', '--json'])).stdout) as JobListResult
    expect(jobs.map(({ state }) => state).sort()).toEqual(['cancelled', 'completed'])
  })

  it('that do not exist are answered with those that do', async () => {
    const { id } = await sandbox.connect().submit({ prompt: 'a red star', numInferenceSteps: 1 })
    const { exitCode, stderr } = await sandbox.run(['jobs', 'show', 'zzz'])
    expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/^Error: There is no job "zzz"; did you mean /)])
    expect((await sandbox.run(['completion', 'values', 'jobs'])).stdout.split('\n')).toContain(id)
  })

  it('leave no partial file where the disk is full', async () => {
    const { id } = await sandbox.connect().submit({ prompt: 'a red star', numInferenceSteps: 1 })
    await sandbox.run(['jobs', 'wait', id, '-q'])
    const before = readdirSync(sandbox.directory)
    // No file may be longer than 1 KiB: what a full disk does in the middle of a file.
    const limited = `trap '' XFSZ; ulimit -f 1; exec '${process.execPath}' '${resolve('bin/run.js')}' "$@"`
    const run = (...args: string[]) =>
      execa('bash', ['-c', limited, 'swiftd', ...args], {
        ...{ cwd: sandbox.directory, env: sandbox.env, extendEnv: false, reject: false },
      })
    const { exitCode, stderr } = await run('jobs', 'wait', id, '-q', '-o', 'full.png')
    expect([exitCode, stderr]).toEqual([
      10,
      expect.stringMatching(/^Error: Cannot write .*full\.png: the system says EFBIG/),
    ])
    expect((await run('generate', 'a red star', '--steps', '1', '-q')).exitCode).toBe(10)
    expect(readdirSync(sandbox.directory)).toEqual(before)
  })
})

describe('ps and devices', () => {
  it('list what the daemon has', async () => {
    expect((await sandbox.run(['ps'])).stdout).toMatch(/^NAME +KIND +DEVICE +SIZE +USES +LAST USED/)
    expect((await sandbox.run(['devices'])).stdout).toMatch(/^cpu:0 +1 +float32 +(idle|busy) /m)
  })

  it('know the residents that a daemon may tell of', async () => {
    const status = await sandbox.connect().status()
    const resident = { name: 'demo', kind: 'model', device: 'cpu:0', bytes: 5, uses: 2, lastUsedMs: 10 }
    expect(DaemonStatusSchema.parse({ ...status, residents: [resident] }).residents).toEqual([resident])
  })
})

describe('doctor', () => {
  it('finds a healthy machine healthy', async () => {
    const { exitCode, stdout } = await sandbox.run(['doctor', '--json'])
    const { healthy, checks } = JSON.parse(stdout) as DoctorResult
    expect([exitCode, healthy]).toEqual([0, true])
    const names = [
      'node',
      'runtime library',
      'providers',
      'shared memory',
      'devices',
      'memory',
      'socket',
      'cache',
      'data',
    ]
    // A machine with GPUs has a check for each, in the place of the one that says that there is none.
    const told = checks.map(({ name }) => name).filter((name) => name !== 'gpu' && !name.includes(':'))
    expect(told).toEqual([...names, 'settings', 'daemon'])
    expect(checks.length).toBeGreaterThan(told.length)
    expect(checks.find(({ name }) => name === 'daemon')?.found).toMatch(/^runs \(pid \d+, swiftd /)
  })

  it('says of each failure what to do, and exits with 1', async () => {
    const env = { SWIFTD_DEVICES: 'gpu:7', XDG_RUNTIME_DIR: `/tmp/${'long'.repeat(30)}`, SWIFTD_STEPS: '0' }
    const { exitCode, stdout } = await sandbox.run(['doctor'], { env })
    expect(exitCode).toBe(1)
    expect(stdout).toMatch(/^fail devices: "gpu:7" is not a device.*\n +→ correct the setting "devices"/m)
    expect(stdout).toMatch(/^fail socket: The socket path .* is longer than .*\n +→ set XDG_RUNTIME_DIR to a shorter/m)
    expect(stdout).toMatch(/^fail settings: The setting .* must be .*\n +→ correct or unset it/m)
  })
})
