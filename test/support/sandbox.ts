import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { execa, type Options, type ResultPromise } from 'execa'
import { createClient, type DaemonClient } from '../../src/daemon/client/client.js'
import { daemonPaths, type DaemonPaths } from '../../src/daemon/paths.js'

const PROGRAM = resolve('bin/run.js')

/** The program as built, in a home of its own: nothing is shared with other tests or with the user's daemon. */
export interface Sandbox {
  /** The current directory of the commands. */
  readonly directory: string
  readonly env: Readonly<Record<string, string>>
  readonly paths: DaemonPaths
  /** Runs `swiftd ...args` to its end; never throws. */
  run(args: readonly string[], options?: Options): Promise<Finished>
  /** Starts `swiftd ...args`. */
  start(args: readonly string[]): ResultPromise<{ reject: false }>
  /** A client of the sandbox's daemon. */
  connect(): DaemonClient
  /** Stops the daemon and removes everything. */
  dispose(): Promise<void>
}

export interface Finished {
  readonly exitCode: number | undefined
  readonly stdout: string
  readonly stderr: string
}

export function createSandbox(extra: Record<string, string> = {}): Sandbox {
  const root = mkdtempSync(join(tmpdir(), 'swiftd-test-'))
  const directory = join(root, 'work')
  const runtime = join(root, 'run')
  for (const path of [directory, runtime]) mkdirSync(path)
  chmodSync(runtime, 0o700)
  const env = {
    ...{ HOME: root, PATH: process.env.PATH ?? '', XDG_RUNTIME_DIR: runtime, TMPDIR: tmpdir() },
    // Two tests run beside each other on two cores: more threads would only wait for each other.
    SWIFTD_DEVICES: 'cpu:0=1',
    ...extra,
  }
  const options = { cwd: directory, env, extendEnv: false, reject: false } as const
  const clients: DaemonClient[] = []
  const paths = daemonPaths(env)
  const run = async (args: readonly string[], more: Options = {}): Promise<Finished> => {
    // A pipe that nobody closes would be waited for, where a command reads stdin.
    const stdin: Options = more.input === undefined ? { stdin: 'ignore' } : {}
    const merged = { ...options, ...stdin, ...more, env: { ...env, ...more.env } }
    const { exitCode, stdout, stderr } = await execa(process.execPath, [PROGRAM, ...args], merged)
    return { exitCode, stdout: String(stdout), stderr: String(stderr) }
  }
  return {
    ...{ directory, env, paths, run },
    start: (args) => execa(process.execPath, [PROGRAM, ...args], options),
    connect() {
      const client = createClient(paths.socket)
      clients.push(client)
      return client
    },
    async dispose() {
      await run(['daemon', 'stop', '--timeout', '0'])
      await Promise.all(clients.map((client) => client.close()))
      rmSync(root, { recursive: true, force: true })
    },
  }
}

/** True while a process runs; one that ended but that nobody has asked about does not. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !stat.slice(stat.lastIndexOf(')')).startsWith(') Z')
  } catch (error) {
    // No /proc on macOS: then the signal's word counts.
    return (error as NodeJS.ErrnoException).path !== undefined && process.platform !== 'linux'
  }
}
