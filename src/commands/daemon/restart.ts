import { createClient } from '../../daemon/client/client.js'
import { daemonPaths } from '../../daemon/paths.js'
import type { DaemonStatus } from '../../daemon/protocol/status.js'
import { formatDevice } from '../../daemon/workers/devices.js'
import { BaseCommand } from '../_shared/base-command.js'
import { DEVICE_FLAGS } from '../_shared/daemon-options.js'
import { restartDaemon } from '../_shared/restart-daemon.js'
import { STOP_SECONDS, STOP_TIMEOUT_FLAG } from '../_shared/stop-daemon.js'

/** What --json prints. */
export interface RestartResult {
  /** Of the daemon that was stopped, if one was running. */
  readonly stoppedPid?: number
  readonly status: DaemonStatus
}

export default class DaemonRestart extends BaseCommand {
  static override summary = 'Stop the daemon and start it again, also one of another version.'

  static override description =
    'Its devices are those of --device, else of the settings, else those that it had. Where none runs, one is started.'

  static override examples = [
    '<%= config.bin %> daemon restart',
    '<%= config.bin %> daemon restart --device cpu:0=2 --timeout 60',
  ]

  static override flags = {
    ...DEVICE_FLAGS,
    timeout: STOP_TIMEOUT_FLAG,
  }

  async run(): Promise<RestartResult> {
    const { flags } = await this.parse(DaemonRestart)
    const paths = daemonPaths()
    const graceSeconds = flags.timeout ?? STOP_SECONDS
    const stoppedPid = await restartDaemon(paths, { devices: flags, graceSeconds })
    const client = createClient(paths.socket)
    try {
      const status = await client.status()
      const names = status.devices.map(formatDevice).join(', ')
      const what = stoppedPid === undefined ? 'Daemon started' : 'Daemon restarted'
      if (!this.jsonEnabled()) this.log(`${what} (pid ${status.pid}, ${names})`)
      return { ...(stoppedPid !== undefined && { stoppedPid }), status }
    } finally {
      await client.close()
    }
  }
}
