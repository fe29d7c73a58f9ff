import { createInterface } from 'node:readline/promises'
import { isListening, startDaemon, type StartOptions } from '../../daemon/client/autostart.js'
import { createClient } from '../../daemon/client/client.js'
import { isNotRunning } from '../../daemon/client/transport.js'
import type { DaemonPaths } from '../../daemon/paths.js'
import type { DaemonStatus } from '../../daemon/protocol/status.js'
import { SWIFTD_VERSION } from '../../daemon/protocol/version.js'
import { formatDevice } from '../../daemon/workers/devices.js'
import { daemonOptions, type DeviceFlags } from './daemon-options.js'
import { STOP_SECONDS, stopDaemon } from './stop-daemon.js'

export interface RestartOptions {
  readonly devices?: DeviceFlags
  readonly graceSeconds: number
}

/**
 * Stops the daemon, where one runs, and starts one of this version. A daemon whose devices no flag and no setting tells
 * keeps those that it had.
 * @returns the process id of the one that was stopped
 */
export async function restartDaemon(
  paths: DaemonPaths,
  { devices, graceSeconds }: RestartOptions,
): Promise<number | undefined> {
  // What is wrong with a flag or a setting is told before anything is stopped.
  const options = daemonOptions(devices)
  const before = await daemonStatus(paths)
  const stopped = await stopDaemon(paths.socket, graceSeconds)
  // Where systemd holds the socket, the next request starts the service.
  if (!(await isListening(paths.socket)))
    await startDaemon(paths, { ...(before && !options.devices && devicesOf(before)), ...options })
  return stopped
}

/** The devices of a daemon, and what they are for. */
function devicesOf({ devices, roles }: DaemonStatus): StartOptions {
  return {
    devices: devices.map(formatDevice).join(','),
    ...(roles && { baseDevices: roles.base.join(','), controlNetDevices: roles.controlNet.join(',') }),
  }
}

/**
 * Asks, at a terminal, whether the daemon of another version should be restarted, and does so.
 * @returns false if it was not: nobody can be asked, or they do not want it
 */
export async function offerRestart(paths: DaemonPaths): Promise<boolean> {
  const { CI, TERM } = process.env
  if (!process.stdin.isTTY || !process.stderr.isTTY || CI || TERM === 'dumb') return false
  const status = await daemonStatus(paths)
  const busy = status && status.jobs.running + status.jobs.queued
  const jobs = busy ? ` It has ${busy} unfinished ${busy === 1 ? 'job' : 'jobs'}.` : ''
  const other = status?.version === SWIFTD_VERSION ? 'speaks another protocol' : `is swiftd ${status?.version ?? '?'}`
  const prompt = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await prompt.question(`The running daemon ${other}.${jobs} Restart it? [Y/n] `)
    if (/^n/i.test(answer.trim())) return false
  } finally {
    prompt.close()
  }
  await restartDaemon(paths, { graceSeconds: STOP_SECONDS })
  return true
}

async function daemonStatus({ socket }: DaemonPaths): Promise<DaemonStatus | undefined> {
  const client = createClient(socket)
  try {
    return await client.status()
  } catch (error) {
    if (isNotRunning(error)) return undefined
    throw error
  } finally {
    await client.close()
  }
}
