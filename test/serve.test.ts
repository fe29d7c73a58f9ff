import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RestartResult } from '../src/commands/daemon/restart.js'
import { createSandbox, isRunning, type Sandbox } from './support/sandbox.js'
import { openDatagramSocket, openListeningSocket } from './support/unix-sockets.js'

const PATIENTLY = { timeout: 30_000 }
let sandbox: Sandbox

beforeEach(() => {
  sandbox = createSandbox()
})
afterEach(() => sandbox.dispose())

const statusCode = async (): Promise<number | undefined> => (await sandbox.run(['daemon', 'status'])).exitCode

describe('serve', () => {
  it('runs the daemon in the foreground, logs to stderr, and stops in order at Ctrl-C', async () => {
    const served = sandbox.start(['serve', '--device', 'cpu:3=1'])
    let log = ''
    served.stderr.on('data', (chunk) => (log += String(chunk)))
    await expect.poll(statusCode, PATIENTLY).toBe(0)
    expect((await sandbox.run(['devices'])).stdout).toMatch(/^cpu:3 /m)
    const second = await sandbox.run(['serve'])
    expect([second.exitCode, second.stderr]).toEqual([2, expect.stringContaining('already running')])

    const drawn = await sandbox.run(['generate', 'a red star', '--steps', '1', '-q', '-o', 'a.png'])
    expect(drawn.exitCode).toBe(0)
    served.kill('SIGINT')
    expect((await served).exitCode).toBe(0)
    expect(existsSync(sandbox.paths.socket)).toBe(false)
    for (const message of ['ready', 'job completed', 'stopped']) expect(log).toContain(`"msg":"${message}"`)
    expect(readFileSync(sandbox.paths.logFile, 'utf8')).toContain('"msg":"stopped"')
  })
})

describe('daemon restart', () => {
  it('replaces the daemon and keeps its devices, unless it is told others', async () => {
    const restart = async (...args: string[]): Promise<RestartResult> => {
      const { stdout } = await sandbox.run(['daemon', 'restart', '--json', ...args], { env: { SWIFTD_DEVICES: '' } })
      return JSON.parse(stdout) as RestartResult
    }
    const first = await restart('--device', 'cpu:1=1')
    expect(first).not.toHaveProperty('stoppedPid')
    const second = await restart()
    expect(second.stoppedPid).toBe(first.status.pid)
    expect(second.status.devices).toMatchObject([{ name: 'cpu:1', threads: 1 }])
    expect((await restart('--device', 'cpu:2=1')).status.devices).toMatchObject([{ name: 'cpu:2', threads: 1 }])
    expect(isRunning(first.status.pid)).toBe(false)
  })

  it('is what commands advise for a daemon of another version, and works with one', async () => {
    mkdirSync(sandbox.paths.runtimeDirectory, { mode: 0o700 })
    const other = spawn(process.execPath, [resolve('test/support/other-daemon.mjs'), sandbox.paths.socket])
    await expect.poll(() => existsSync(sandbox.paths.socket), PATIENTLY).toBe(true)
    const refused = await sandbox.run(['generate', 'a red star', '-q'])
    expect(refused.exitCode).toBe(13)
    expect(refused.stderr).toMatch(/^Error: Versions differ: .*protocol 99.*; run "swiftd daemon restart"/)
    expect((await sandbox.run(['doctor'])).stdout).toMatch(/^fail daemon: .*\n +→ run "swiftd daemon restart"/m)
    expect((await sandbox.run(['daemon', 'restart'])).stdout).toMatch(/^Daemon restarted/)
    expect(other.exitCode).toBe(0)
    expect((await sandbox.run(['generate', 'a red star', '--steps', '1', '-q', '-o', 'a.png'])).exitCode).toBe(0)
  })
})

describe('daemon install', () => {
  it('writes a socket and a service for systemd, once and whole', async () => {
    const directory = join(sandbox.env.HOME, '.config/systemd/user')
    const dry = await sandbox.run(['daemon', 'install', '--dry-run'])
    expect(dry.stdout).toContain('[Socket]')
    expect(existsSync(directory)).toBe(false)

    const { exitCode, stdout } = await sandbox.run(['daemon', 'install'])
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining('systemctl --user enable --now swiftd.socket')])
    const [socket, service] = ['swiftd.socket', 'swiftd.service'].map((name) =>
      readFileSync(join(directory, name), 'utf8'),
    )
    expect(socket).toContain('\nListenStream=%t/swiftd/daemon.sock\nSocketMode=0600\nDirectoryMode=0700\n')
    expect(service).toContain(`\nType=notify\nExecStart=${process.execPath} ${resolve('bin/run.js')} serve\n`)
    for (const line of ['Restart=on-failure', 'KillMode=mixed', 'Requires=swiftd.socket'])
      expect(service).toContain(line)
  })
})

/** The test is the service manager: it opens the socket, starts the daemon, and listens to its states. */
describe.runIf(process.platform === 'linux')('a daemon that systemd starts', () => {
  it('takes the socket it is given, and tells when it is ready and when it stops', async () => {
    mkdirSync(sandbox.paths.runtimeDirectory, { mode: 0o700 })
    const socket = openListeningSocket(sandbox.paths.socket)
    const { ino } = statSync(sandbox.paths.socket)
    const notifyPath = join(sandbox.directory, 'notify')
    const states = openDatagramSocket(notifyPath)
    // A client that comes before the daemon waits for it.
    const early = sandbox.connect().status()
    const start = `export LISTEN_PID=$$; exec '${process.execPath}' '${resolve('bin/run.js')}' serve`
    const served = execa('bash', ['-c', start], {
      stdio: ['ignore', 'ignore', 'pipe', socket.fd as 3],
      env: { ...sandbox.env, LISTEN_FDS: '1', NOTIFY_SOCKET: notifyPath },
      ...{ extendEnv: false, reject: false },
    })
    await expect.poll(() => states.receive(), PATIENTLY).toBe('READY=1\n')
    const { pid } = await early
    expect(pid).toBe(served.pid)
    process.kill(pid, 'SIGTERM')
    await expect.poll(() => states.receive(), PATIENTLY).toBe('STOPPING=1\n')
    expect((await served).exitCode).toBe(0)
    // The socket is the service manager's: it stays for the next start.
    expect(statSync(sandbox.paths.socket).ino).toBe(ino)
    states.close()
    socket.close()
  })
})
