import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { SwiftdError } from '../../engine/errors.js'
import { createClient } from '../../daemon/client/client.js'
import { isNotRunning } from '../../daemon/client/transport.js'
import { daemonPaths } from '../../daemon/paths.js'
import type { ShutdownAnswer } from '../../daemon/protocol/status.js'
import { BaseCommand } from '../_shared/base-command.js'
import { numberFlag, SECONDS } from '../_shared/flags.js'

/** What --json prints. */
export interface StopResult {
  /** False if no daemon was running. */
  readonly stopped: boolean
  readonly pid?: number
}

/** What a daemon may need to close down after its last job has ended. */
const CLOSE_SECONDS = 20

export default class DaemonStop extends BaseCommand {
  static override summary = 'Stop the daemon and wait until it is gone.'

  static override description =
    'Jobs that wait are cancelled. Jobs that run may finish within the time that --timeout gives, then they are cancelled. ' +
    'Stopping a daemon that does not run succeeds.'

  static override examples = ['<%= config.bin %> daemon stop', '<%= config.bin %> daemon stop --timeout 0']

  static override flags = {
    timeout: numberFlag('timeout', {
      description: 'Seconds that running jobs may take to finish.  [default: 10]',
      env: 'SWIFTD_STOP_TIMEOUT',
      range: SECONDS,
      helpValue: 'SECONDS',
    }),
  }

  async run(): Promise<StopResult> {
    const { flags } = await this.parse(DaemonStop)
    const graceSeconds = flags.timeout ?? 10
    const answer = await requestShutdown(daemonPaths().socket, graceSeconds)
    if (!answer) {
      if (!this.jsonEnabled()) this.log('The daemon is not running')
      return { stopped: false }
    }
    await waitUntilGone(answer.pid, graceSeconds + CLOSE_SECONDS)
    if (!this.jsonEnabled()) this.log('Daemon stopped')
    return { stopped: true, pid: answer.pid }
  }
}

/** @returns undefined if there is no daemon */
async function requestShutdown(socket: string, graceSeconds: number): Promise<ShutdownAnswer | undefined> {
  const client = createClient(socket)
  try {
    return await client.shutdown(graceSeconds * 1000)
  } catch (error) {
    if (isNotRunning(error)) return undefined
    throw error
  } finally {
    await client.close()
  }
}

/** A daemon that does not end by itself is killed: its workers follow it, and nothing that it holds outlives it. */
async function waitUntilGone(pid: number, seconds: number): Promise<void> {
  const deadline = performance.now() + seconds * 1000
  while (isAlive(pid)) {
    if (performance.now() > deadline) {
      process.kill(pid, 'SIGKILL')
      throw new SwiftdError('TIMEOUT', `The daemon (pid ${pid}) did not stop within ${seconds} s and was killed.`)
    }
    await sleep(20)
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !isZombie(pid)
  } catch {
    return false
  }
}

/** An ended process keeps its id until its parent asks for its exit code, which some containers' init is slow to do. */
function isZombie(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')')).startsWith(') Z')
  } catch {
    return false
  }
}
