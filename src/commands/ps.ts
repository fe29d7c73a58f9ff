import { formatAge, formatBytes } from '../daemon/models/format.js'
import type { Resident } from '../daemon/protocol/status.js'
import { BaseCommand } from './_shared/base-command.js'
import { formatColumns } from './_shared/table.js'
import { useDaemon } from './_shared/use-daemon.js'

/** What --json prints. */
export interface PsResult {
  readonly residents: readonly Resident[]
}

export default class Ps extends BaseCommand {
  static override summary = 'List what the daemon keeps in memory: models, ControlNets and LoRAs.'

  static override description = 'Exits with 3 if the daemon does not run.'

  static override examples = ['<%= config.bin %> ps', '<%= config.bin %> ps --json']

  async run(): Promise<PsResult> {
    await this.parse(Ps)
    const { residents = [] } = await useDaemon((client) => client.status())
    if (!this.jsonEnabled()) this.log(formatResidents(residents))
    return { residents }
  }
}

const COLUMNS = ['NAME', 'KIND', 'DEVICE', 'SIZE', 'USES', 'LAST USED']

function formatResidents(residents: readonly Resident[]): string {
  const now = Date.now()
  const rows = residents.map(({ name, kind, device, bytes, uses, pinned, lastUsedMs }) => {
    const last = pinned ? 'pinned' : formatAge(new Date(now - lastUsedMs))
    return [name, kind, device, formatBytes(bytes), String(uses), last]
  })
  return formatColumns([COLUMNS, ...rows])
}
