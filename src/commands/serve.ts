import { SwiftdError } from '../engine/errors.js'
import { daemonEnvironment, isListening } from '../daemon/client/autostart.js'
import { daemonPaths } from '../daemon/paths.js'
import { BaseCommand } from './_shared/base-command.js'
import { daemonOptions, DEVICE_FLAGS } from './_shared/daemon-options.js'

export default class Serve extends BaseCommand {
  static override summary = 'Run the daemon in the foreground.'

  static override description =
    'For terminals and service managers; "daemon start" starts it in the background. Its log is shown on stderr, and kept ' +
    'for "daemon logs". Ctrl-C stops it in order: running jobs get ten seconds to finish, a second Ctrl-C cancels them.'

  static override examples = [
    '<%= config.bin %> serve',
    '<%= config.bin %> serve --device cpu:0=2 --device cpu:1=2',
    'SWIFTD_LOG_LEVEL=debug <%= config.bin %> serve 2> swiftd.log',
  ]

  static override flags = {
    ...DEVICE_FLAGS,
  }

  /** Does not end before the daemon does. */
  async run(): Promise<void> {
    const { flags } = await this.parse(Serve)
    const options = daemonOptions(flags)
    // A service manager's socket listens before the daemon does.
    const activated = process.env.LISTEN_PID === String(process.pid)
    if (!activated && (await isListening(daemonPaths().socket))) {
      throw new SwiftdError('INVALID_REQUEST', 'The daemon is already running; "swiftd daemon stop" ends it.')
    }
    Object.assign(process.env, daemonEnvironment(options), { SWIFTD_FOREGROUND: '1' })
    await import('../daemon/main.js')
    await new Promise<never>(() => undefined)
  }
}
