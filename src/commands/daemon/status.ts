import { createClient } from '../../daemon/client/client.js'
import { isNotRunning } from '../../daemon/client/transport.js'
import { daemonPaths } from '../../daemon/paths.js'
import { ERRORS } from '../../daemon/protocol/error.js'
import type { DaemonStatus, DeviceStatus } from '../../daemon/protocol/status.js'
import { isGpu } from '../../daemon/workers/devices.js'
import { BaseCommand } from '../_shared/base-command.js'

/** What --json prints. */
export type StatusResult = { readonly running: false } | ({ readonly running: true } & DaemonStatus)

export default class DaemonStatusCommand extends BaseCommand {
  static override summary = 'Show whether the daemon runs, its devices and its jobs.'

  static override description = 'Exits with 3 if the daemon does not run.'

  static override examples = ['<%= config.bin %> daemon status', '<%= config.bin %> daemon status --json']

  async run(): Promise<StatusResult> {
    await this.parse(DaemonStatusCommand)
    const client = createClient(daemonPaths().socket)
    try {
      const status = await client.status()
      if (!this.jsonEnabled()) this.log(describe(status))
      return { running: true, ...status }
    } catch (error) {
      if (!isNotRunning(error)) throw error
      if (!this.jsonEnabled()) this.log('The daemon is not running')
      process.exitCode = ERRORS.DAEMON_UNREACHABLE.exitCode
      return { running: false }
    } finally {
      await client.close()
    }
  }
}

function describe({ version, pid, state, uptimeMs, devices, jobs, logFile }: DaemonStatus): string {
  return [
    `swiftd ${version}, pid ${pid}, ${state} for ${Math.round(uptimeMs / 1000)} s`,
    ...devices.map(describeDevice),
    `jobs: ${jobs.running} running, ${jobs.queued} waiting (of at most ${jobs.queueLimit}), ${jobs.finished} finished`,
    `log: ${logFile}`,
  ].join('\n')
}

function describeDevice({ name, threads, precision, state, jobId, restarts, reason }: DeviceStatus): string {
  const details = [
    isGpu(name) ? precision : `${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    jobId === undefined ? state : `${state} with job ${jobId}`,
    restarts === 0 ? undefined : `restarted ${restarts} times`,
    reason === undefined ? undefined : `last: ${reason}`,
  ]
  return `${name}: ${details.filter((detail) => detail !== undefined).join(', ')}`
}
