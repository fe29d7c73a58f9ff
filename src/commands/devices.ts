import type { DeviceStatus } from '../daemon/protocol/status.js'
import { BaseCommand } from './_shared/base-command.js'
import { formatColumns } from './_shared/table.js'
import { useDaemon } from './_shared/use-daemon.js'

/** What --json prints. */
export interface DevicesResult {
  readonly devices: readonly DeviceStatus[]
}

export default class Devices extends BaseCommand {
  static override summary = 'List the devices of the daemon and what they do.'

  static override description =
    'The setting "devices" says which there are, such as cpu:0=2,cpu:1=2; it takes effect by "daemon restart". Exits with ' +
    '3 if the daemon does not run.'

  static override examples = ['<%= config.bin %> devices', '<%= config.bin %> devices --json']

  async run(): Promise<DevicesResult> {
    await this.parse(Devices)
    const { devices } = await useDaemon((client) => client.status())
    if (!this.jsonEnabled()) this.log(formatColumns([COLUMNS, ...devices.map(row)]))
    return { devices }
  }
}

const COLUMNS = ['DEVICE', 'THREADS', 'STATE', 'JOB', 'PID', 'RESTARTS', 'LAST FAILURE']

function row({ name, threads, state, jobId = '', pid, restarts, reason = '' }: DeviceStatus): string[] {
  return [name, String(threads), state, jobId, pid === undefined ? '' : String(pid), String(restarts), reason]
}
