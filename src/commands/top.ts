import { setTimeout as sleep } from 'node:timers/promises'
import { Flags } from '@oclif/core'
import { formatBytes } from '../daemon/models/format.js'
import type { DaemonClient } from '../daemon/client/client.js'
import { BaseCommand } from './_shared/base-command.js'
import { describeProgress } from './_shared/job-reference.js'
import { machineMemory } from './_shared/memory.js'
import { formatColumns } from './_shared/table.js'
import { useDaemon } from './_shared/use-daemon.js'
import { activeJobs, throughputOf, type Snapshot, type Throughput } from './_ui/top-model.js'

/** What --json prints. */
export interface TopResult extends Pick<Snapshot, 'status' | 'memory'> {
  readonly throughput: Throughput
}

const REFRESH_MS = 1000

export default class Top extends BaseCommand {
  static override summary = 'Watch devices, memory, jobs and throughput of the daemon.'

  static override description =
    'Refreshed each second; q or Ctrl-C quits. With --once, --json, or where stdout is no terminal, the state is printed ' +
    'once. Exits with 3 if the daemon does not run.'

  static override examples = ['<%= config.bin %> top', '<%= config.bin %> top --once']

  static override flags = {
    once: Flags.boolean({ description: 'Print the state once.', env: 'SWIFTD_ONCE' }),
  }

  async run(): Promise<TopResult> {
    const { flags } = await this.parse(Top)
    const { CI, NO_COLOR, TERM } = process.env
    const live = process.stdout.isTTY && process.stdin.isTTY && !CI && !NO_COLOR && TERM !== 'dumb'
    return useDaemon(async (client) => {
      if (live && !flags.once && !this.jsonEnabled()) return watch(client)
      const snapshot = await takeSnapshot(client)
      const throughput = throughputOf(snapshot, undefined)
      if (!this.jsonEnabled()) this.log(describe(snapshot, throughput))
      return { status: snapshot.status, memory: snapshot.memory, throughput }
    })
  }
}

async function takeSnapshot(client: DaemonClient): Promise<Snapshot> {
  const [status, jobs] = await Promise.all([client.status(), client.jobs()])
  return { at: performance.now(), status, jobs, memory: machineMemory() }
}

async function watch(client: DaemonClient): Promise<TopResult> {
  let snapshot = await takeSnapshot(client)
  let throughput = throughputOf(snapshot, undefined)
  const { openTop } = await import('./_ui/top-view.js')
  const screen = openTop(snapshot, throughput)
  let quit = false
  const ended = screen.quit.then(() => (quit = true))
  try {
    for (;;) {
      await Promise.race([sleep(REFRESH_MS), ended])
      if (quit) return { status: snapshot.status, memory: snapshot.memory, throughput }
      const next = await takeSnapshot(client)
      throughput = throughputOf(next, snapshot)
      snapshot = next
      screen.update(snapshot, throughput)
    }
  } finally {
    screen.close()
  }
}

function describe({ status, jobs, memory }: Snapshot, { imagesPerMinute }: Throughput): string {
  const devices = status.devices.map((device) => {
    const job = jobs.find(({ id }) => id === device.jobId)
    return [device.name, String(device.threads), device.state, job ? describeProgress(job) : '', device.jobId ?? '']
  })
  const active = activeJobs(jobs).map((job) => [job.id, job.state, describeProgress(job), job.request.model])
  const residents = (status.residents ?? []).map(({ name, kind, device, bytes }) => [
    name,
    kind,
    device,
    formatBytes(bytes),
  ])
  return [
    `swiftd ${status.version}, ${status.state}; ${formatBytes(memory.available)} of ${formatBytes(memory.total)} free`,
    `${status.jobs.running} running, ${status.jobs.queued} waiting, ${imagesPerMinute} images in the last minute`,
    formatColumns([['DEVICE', 'THREADS', 'STATE', 'PROGRESS', 'JOB'], ...devices]),
    ...(active.length > 0 ? [formatColumns([['JOB', 'STATE', 'PROGRESS', 'MODEL'], ...active])] : []),
    ...(residents.length > 0 ? [formatColumns([['IN MEMORY', 'KIND', 'DEVICE', 'SIZE'], ...residents])] : []),
  ].join('\n\n')
}
