import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { SwiftdError } from '../../engine/errors.js'
import { createClient } from '../../daemon/client/client.js'
import { isNotRunning } from '../../daemon/client/transport.js'
import type { ShutdownAnswer } from '../../daemon/protocol/status.js'
import { numberFlag, SECONDS } from './flags.js'

/** How long running jobs may take where nothing else is said. */
export const STOP_SECONDS = 10

export const STOP_TIMEOUT_FLAG = numberFlag('timeout', {
  description: `Seconds that running jobs may take to finish.  [default: ${STOP_SECONDS}]`,
  env: 'SWIFTD_STOP_TIMEOUT',
  range: SECONDS,
  helpValue: 'SECONDS',
})

/** What a daemon may need to close down after its last job has ended. */
const CLOSE_SECONDS = 20

/**
 * Stops the daemon, of whatever version, and waits until it is gone.
 * @param graceSeconds how long running jobs may take to finish before they are cancelled
 * @returns its process id, or undefined if none was running
 * @throws SwiftdError TIMEOUT if it had to be killed
 */
export async function stopDaemon(socket: string, graceSeconds: number): Promise<number | undefined> {
  const answer = await requestShutdown(socket, graceSeconds)
  if (answer) await waitUntilGone(answer.pid, graceSeconds + CLOSE_SECONDS)
  return answer?.pid
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
