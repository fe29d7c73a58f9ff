import { createClient } from '../../daemon/client/client.js'
import { isListening, startDaemon } from '../../daemon/client/autostart.js'
import { daemonPaths } from '../../daemon/paths.js'
import type { DaemonStatus } from '../../daemon/protocol/status.js'
import { formatDevice } from '../../daemon/workers/devices.js'
import { BaseCommand } from '../_shared/base-command.js'
import { daemonOptions, DEVICE_FLAGS } from '../_shared/daemon-options.js'

/** What --json prints. */
export interface StartResult {
  /** False if a daemon was running already. */
  readonly started: boolean
  readonly status: DaemonStatus
}

export default class DaemonStart extends BaseCommand {
  static override summary = 'Start the daemon in the background.'

  static override description =
    'Returns when the daemon takes jobs. Where one runs already, it stays as it is; stop it first to change its devices.'

  static override examples = [
    '<%= config.bin %> daemon start',
    '<%= config.bin %> daemon start --device cuda:0 --device cuda:1',
    '<%= config.bin %> daemon start --device cpu:0=1 --device cpu:1=1',
    '<%= config.bin %> daemon start --device cpu:0=2 --device cpu:1=2 --controlnet-device cpu:1',
  ]

  static override flags = DEVICE_FLAGS

  async run(): Promise<StartResult> {
    const { flags } = await this.parse(DaemonStart)
    const options = daemonOptions(flags)
    const paths = daemonPaths()
    const started = !(await isListening(paths.socket)) && (await startDaemon(paths, options))
    const client = createClient(paths.socket)
    try {
      const status = await client.status()
      const names = status.devices.map(formatDevice).join(', ')
      const what = started ? 'Daemon started' : 'The daemon is already running'
      if (!this.jsonEnabled()) this.log(`${what} (pid ${status.pid}, ${names})`)
      return { started, status }
    } finally {
      await client.close()
    }
  }
}
