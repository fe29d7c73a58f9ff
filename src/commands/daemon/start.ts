import { Flags } from '@oclif/core'
import { createClient } from '../../daemon/client/client.js'
import { isListening, startDaemon } from '../../daemon/client/autostart.js'
import { daemonPaths } from '../../daemon/paths.js'
import type { DaemonStatus } from '../../daemon/protocol/status.js'
import { formatDevice, parseDevices } from '../../daemon/workers/devices.js'
import { BaseCommand } from '../_shared/base-command.js'

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
    '<%= config.bin %> daemon start --device cpu:0=1 --device cpu:1=1',
  ]

  static override flags = {
    device: Flags.string({
      description: 'A device and its threads; repeat it for more devices. By default cpu:0 with all cores.',
      env: 'SWIFTD_DEVICES',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'cpu:N=THREADS',
    }),
  }

  async run(): Promise<StartResult> {
    const { flags } = await this.parse(DaemonStart)
    // What comes from the environment is not split by oclif.
    const texts = flags.device && [flags.device].flat().flatMap((text) => text.split(','))
    const devices = texts && parseDevices(texts).map(formatDevice).join(',')
    const paths = daemonPaths()
    const started = !(await isListening(paths.socket)) && (await startDaemon(paths, { devices }))
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
