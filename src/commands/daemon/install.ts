import { mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Flags } from '@oclif/core'
import { SwiftdError } from '../../engine/errors.js'
import { BaseCommand } from '../_shared/base-command.js'
import { writeOutput } from '../_shared/output-file.js'
import { systemdUnits, type Unit } from '../_shared/systemd-units.js'

/** What --json prints. */
export interface InstallResult {
  readonly directory: string
  readonly units: readonly Unit[]
  /** False with --dry-run. */
  readonly written: boolean
}

export default class DaemonInstall extends BaseCommand {
  static override summary = 'Write systemd user units, so that the daemon starts when it is first needed.'

  static override description =
    'Writes swiftd.socket and swiftd.service to ~/.config/systemd/user, and prints the commands that put them into use. ' +
    'Devices and other settings of the daemon are those of "config". Linux only.'

  static override examples = [
    '<%= config.bin %> daemon install --dry-run',
    '<%= config.bin %> daemon install',
    'systemctl --user enable --now swiftd.socket',
  ]

  static override flags = {
    'dry-run': Flags.boolean({ description: 'Print the files and write nothing.', env: 'SWIFTD_DRY_RUN' }),
  }

  async run(): Promise<InstallResult> {
    const { flags } = await this.parse(DaemonInstall)
    const directory = join(
      process.env.XDG_CONFIG_HOME || join(process.env.HOME || homedir(), '.config'),
      'systemd/user',
    )
    // The same three levels up from src/ and from dist/.
    const program = fileURLToPath(new URL('../../../bin/run.js', import.meta.url))
    const units = systemdUnits({ command: [process.execPath, program] })
    if (flags['dry-run']) {
      if (!this.jsonEnabled()) for (const unit of units) this.log(`# ${join(directory, unit.name)}\n${unit.content}`)
      return { directory, units, written: false }
    }
    if (process.platform !== 'linux') {
      throw new SwiftdError(
        'INVALID_REQUEST',
        'Units are for systemd, which is on Linux only; use "swiftd daemon start".',
      )
    }
    await writeUnits(directory, units)
    if (!this.jsonEnabled()) this.log(INSTRUCTIONS(directory))
    return { directory, units, written: true }
  }
}

async function writeUnits(directory: string, units: readonly Unit[]): Promise<void> {
  try {
    mkdirSync(directory, { recursive: true })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new SwiftdError('OUTPUT_NOT_WRITABLE', `Cannot make ${directory}: ${reason}.`, { cause: error })
  }
  for (const { name, content } of units) await writeOutput(join(directory, name), Buffer.from(content))
}

const INSTRUCTIONS = (directory: string): string => `Written to ${directory}: swiftd.socket, swiftd.service

To use them:
  swiftd daemon stop
  systemctl --user daemon-reload
  systemctl --user enable --now swiftd.socket
To keep the daemon while nobody is logged in:
  loginctl enable-linger
To look at it:
  systemctl --user status swiftd
  journalctl --user -u swiftd
To remove them:
  systemctl --user disable --now swiftd.socket swiftd.service
  rm ${join(directory, 'swiftd.socket')} ${join(directory, 'swiftd.service')}`
