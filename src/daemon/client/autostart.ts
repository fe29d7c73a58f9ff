import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { SwiftdError } from '../../engine/errors.js'
import { ALREADY_RUNNING_EXIT_CODE } from '../already-running.js'
import { openLogFile } from '../log-file.js'
import { ensureRuntimeDirectory, type DaemonPaths } from '../paths.js'
import { isErrorCode } from '../protocol/error.js'

export interface StartOptions {
  /** For example `cpu:0=1,cpu:1=1`; the daemon reads it as SWIFTD_DEVICES. @default the environment's */
  readonly devices?: string
  /** Names of devices with commas between: those of base models (SWIFTD_BASE_DEVICES) and of ControlNets. */
  readonly baseDevices?: string
  readonly controlNetDevices?: string
  /** What devices compute in, one of PRECISION_CHOICES (SWIFTD_PRECISION). */
  readonly precision?: string
  /** Names of LoRAs that it reads at once, with commas between; it reads them as SWIFTD_LORA_PRELOAD. */
  readonly loraPreload?: string
}

const START_DEADLINE_MS = 30_000
const POLL_MS = 20

/**
 * Starts the daemon in the background and waits until it listens. Several processes may do this at once: the first daemon
 * to take the lock stays, the others exit, and all callers find the one that stayed.
 * @returns true if the daemon that runs now is the one that this call started
 * @throws SwiftdError DAEMON_UNREACHABLE, or the daemon's own reason for not starting
 */
export async function startDaemon(paths: DaemonPaths, options: StartOptions = {}): Promise<boolean> {
  ensureRuntimeDirectory(paths)
  let child = spawnDaemon(paths, options)
  const deadline = performance.now() + START_DEADLINE_MS
  while (performance.now() < deadline) {
    if (await isListening(paths.socket)) return child.exitCode === null
    if (child.exitCode === ALREADY_RUNNING_EXIT_CODE) {
      // Another one holds the lock: it either comes up in a moment, or goes down and frees the lock.
      await sleep(10 * POLL_MS)
      if (!(await isListening(paths.socket))) child = spawnDaemon(paths, options)
    } else if (child.exitCode !== null || child.signalCode !== null) {
      throw startFailure(paths, child)
    }
    await sleep(POLL_MS)
  }
  const seconds = START_DEADLINE_MS / 1000
  throw new SwiftdError(
    'DAEMON_UNREACHABLE',
    `The daemon did not come up within ${seconds} s; "swiftd daemon logs" may tell why.`,
  )
}

/** True if something accepts connections on the socket. */
export function isListening(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    const settle = (listening: boolean): void => {
      socket.destroy()
      resolve(listening)
    }
    socket.once('connect', () => settle(true))
    socket.once('error', () => settle(false))
  })
}

/** The arguments with which Node runs the daemon's program: compiled in dist/, TypeScript in src/. */
export function daemonArguments(): string[] {
  const source = import.meta.url.endsWith('.ts')
  const program = fileURLToPath(new URL(source ? '../main.ts' : '../main.js', import.meta.url))
  return [...(source ? ['--import', import.meta.resolve('tsx')] : []), program]
}

/** The variables by which a daemon is told its options. */
export function daemonEnvironment(options: StartOptions): Record<string, string> {
  const { devices, baseDevices, controlNetDevices, precision, loraPreload } = options
  return {
    ...(devices !== undefined && { SWIFTD_DEVICES: devices }),
    ...(baseDevices !== undefined && { SWIFTD_BASE_DEVICES: baseDevices }),
    ...(controlNetDevices !== undefined && { SWIFTD_CONTROLNET_DEVICES: controlNetDevices }),
    ...(precision !== undefined && { SWIFTD_PRECISION: precision }),
    ...(loraPreload !== undefined && { SWIFTD_LORA_PRELOAD: loraPreload }),
  }
}

function spawnDaemon({ logFile }: DaemonPaths, options: StartOptions): ChildProcess {
  const log = openLogFile(logFile)
  try {
    const child = spawn(process.execPath, daemonArguments(), {
      detached: true,
      // It must not keep the directory of whoever started it.
      cwd: '/',
      stdio: ['ignore', log, log],
      env: { ...process.env, ...daemonEnvironment(options) },
    })
    child.unref()
    return child
  } finally {
    closeSync(log)
  }
}

/** The daemon's own words from the end of its log, where it left some. */
function startFailure({ logFile }: DaemonPaths, child: ChildProcess): SwiftdError {
  const lines = readFileSync(logFile, 'utf8').trimEnd().split('\n').reverse()
  for (const line of lines.slice(0, 50)) {
    const entry = parseLogLine(line)
    if (entry?.pid !== child.pid || typeof entry?.msg !== 'string') continue
    if (isErrorCode(entry.code)) return new SwiftdError(entry.code, entry.msg)
  }
  const end = child.signalCode ?? `exit code ${child.exitCode}`
  return new SwiftdError('DAEMON_UNREACHABLE', `The daemon did not start (${end}); see "swiftd daemon logs".`)
}

function parseLogLine(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    return undefined
  }
}
