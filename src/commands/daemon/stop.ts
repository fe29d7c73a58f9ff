import { daemonPaths } from '../../daemon/paths.js'
import { BaseCommand } from '../_shared/base-command.js'
import { STOP_SECONDS, STOP_TIMEOUT_FLAG, stopDaemon } from '../_shared/stop-daemon.js'

/** What --json prints. */
export interface StopResult {
  /** False if no daemon was running. */
  readonly stopped: boolean
  readonly pid?: number
}

export default class DaemonStop extends BaseCommand {
  static override summary = 'Stop the daemon and wait until it is gone.'

  static override description =
    'Jobs that wait are cancelled. Jobs that run may finish within the time that --timeout gives, then they are cancelled. ' +
    'Stopping a daemon that does not run succeeds.'

  static override examples = ['<%= config.bin %> daemon stop', '<%= config.bin %> daemon stop --timeout 0']

  static override flags = {
    timeout: STOP_TIMEOUT_FLAG,
  }

  async run(): Promise<StopResult> {
    const { flags } = await this.parse(DaemonStop)
    const pid = await stopDaemon(daemonPaths().socket, flags.timeout ?? STOP_SECONDS)
    if (!this.jsonEnabled()) this.log(pid === undefined ? 'The daemon is not running' : 'Daemon stopped')
    return pid === undefined ? { stopped: false } : { stopped: true, pid }
  }
}
