import { daemonPaths } from '../daemon/paths.js'
import { BaseCommand } from './_shared/base-command.js'
import type { Check } from './_shared/doctor/check.js'
import { checkDaemon, checkSettings, checkSocketDirectory } from './_shared/doctor/daemon-checks.js'
import { checkDevices } from './_shared/doctor/device-checks.js'
import { checkDisks, checkMemory, checkNode } from './_shared/doctor/machine-checks.js'
import { checkRuntime } from './_shared/doctor/runtime-checks.js'

/** What --json prints. */
export interface DoctorResult {
  /** False if a check failed. */
  readonly healthy: boolean
  readonly checks: readonly Check[]
}

export default class Doctor extends BaseCommand {
  static override summary = 'Check what swiftd needs, and say what to do about what is missing.'

  static override description = 'Exits with 1 if a check fails; a warning is no failure.'

  static override examples = ['<%= config.bin %> doctor', '<%= config.bin %> doctor --json']

  async run(): Promise<DoctorResult> {
    await this.parse(Doctor)
    const paths = daemonPaths()
    const checks = [
      checkNode(),
      ...(await checkRuntime()),
      ...(await checkDevices()),
      checkMemory(),
      checkSocketDirectory(paths),
      ...(await checkDisks(paths)),
      checkSettings(),
      await checkDaemon(paths),
    ]
    const healthy = checks.every(({ state }) => state !== 'fail')
    if (!this.jsonEnabled()) this.log(checks.map(describe).join('\n'))
    if (!healthy) process.exitCode = 1
    return { healthy, checks }
  }
}

function describe({ name, state, found, remedy }: Check): string {
  const line = `${state.padEnd(4)} ${name}: ${found}`
  return remedy === undefined ? line : `${line}\n     → ${remedy}`
}
