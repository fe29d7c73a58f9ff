import { Box, render, Text, useInput } from 'ink'
import { formatBytes } from '../../daemon/models/format.js'
import type { Job } from '../../daemon/protocol/job.js'
import type { DaemonStatus, DeviceStatus, Resident } from '../../daemon/protocol/status.js'
import { isGpu } from '../../daemon/workers/devices.js'
import { useTerminalSize } from './terminal-size.js'
import { activeJobs, type Snapshot, type Throughput } from './top-model.js'

export interface TopProps {
  readonly snapshot: Snapshot
  readonly throughput: Throughput
  readonly onQuit?: () => void
}

/** A dashboard of the daemon, as long and as wide as the terminal allows. */
export function TopView({ snapshot, throughput, onQuit }: TopProps) {
  const { columns, rows } = useTerminalSize()
  const { status, jobs, memory } = snapshot
  const active = activeJobs(jobs)
  const residents = status.residents ?? []
  // Three titles, the head, the foot and the devices are always there.
  const room = Math.max(2, rows - 8 - status.devices.length)
  const jobRows = Math.min(active.length, Math.max(1, room - Math.min(residents.length, Math.floor(room / 2))))
  return (
    <Box flexDirection="column" width={columns}>
      {onQuit && <QuitKeys onQuit={onQuit} />}
      <Head status={status} memory={memory} throughput={throughput} />
      <Title text="DEVICES" />
      {status.devices.map((device) => (
        <DeviceRow
          key={device.name}
          device={device}
          job={jobs.find(({ id }) => id === device.jobId)}
          columns={columns}
        />
      ))}
      <Title text={`JOBS ${status.jobs.running} running, ${status.jobs.queued} waiting`} />
      {active.slice(0, jobRows).map((job) => (
        <JobRow key={job.id} job={job} />
      ))}
      {active.length > jobRows && <Text dimColor>{`… ${active.length - jobRows} more`}</Text>}
      <Title text={`IN MEMORY ${formatBytes(residents.reduce((sum, { bytes }) => sum + bytes, 0))}`} />
      {residents.slice(0, Math.max(1, room - jobRows)).map((resident) => (
        <ResidentRow key={`${resident.kind} ${resident.name} ${resident.device}`} resident={resident} />
      ))}
      {onQuit && <Text dimColor>q quits</Text>}
    </Box>
  )
}

function QuitKeys({ onQuit }: { readonly onQuit: () => void }) {
  useInput((input, key) => {
    if (input === 'q' || key.escape || (key.ctrl && input === 'c')) onQuit()
  })
  return null
}

function Head(props: {
  readonly status: DaemonStatus
  readonly memory: Snapshot['memory']
  readonly throughput: Throughput
}) {
  const { status, memory, throughput } = props
  const { stepsPerSecond, imagesPerMinute } = throughput
  const speed = stepsPerSecond === undefined ? '' : `${stepsPerSecond.toFixed(1)} steps/s · `
  const shared = `${formatBytes(status.arena.used)} shared`
  return (
    <>
      <Text
        wrap="truncate"
        bold
      >{`swiftd ${status.version} · ${status.state} for ${formatTime(status.uptimeMs)}`}</Text>
      <Text wrap="truncate">{`${speed}${imagesPerMinute} images in the last minute`}</Text>
      <Text wrap="truncate">{`${formatBytes(memory.available)} of ${formatBytes(memory.total)} free · ${shared}`}</Text>
    </>
  )
}

function Title({ text }: { readonly text: string }) {
  return (
    <Text wrap="truncate" color="cyan" bold>
      {text}
    </Text>
  )
}

const BAR = 16

function DeviceRow({
  device,
  job,
  columns,
}: {
  readonly device: DeviceStatus
  readonly job?: Job
  readonly columns: number
}) {
  const { name, threads, state } = device
  const { progress } = job ?? {}
  const filled = progress ? Math.round((progress.step / progress.total) * BAR) : 0
  return (
    <Text wrap="truncate">
      {`${name} `}
      {columns >= 50 && progress && <Text color="green">{'█'.repeat(filled)}</Text>}
      {columns >= 50 && progress && <Text dimColor>{`${'░'.repeat(BAR - filled)} `}</Text>}
      {progress ? `step ${progress.step}/${progress.total}` : state}
      {!isGpu(name) && <Text dimColor>{` · ${threads} ${threads === 1 ? 'thread' : 'threads'}`}</Text>}
    </Text>
  )
}

function JobRow({ job }: { readonly job: Job }) {
  const { id, state, queuePosition = 0, request, device } = job
  const where = state === 'running' ? (device ?? '') : `waits behind ${queuePosition}`
  return (
    <Text wrap="truncate">{`${id.slice(0, 8)} ${where} · ${request.model} · ${request.prompt.replaceAll(/\s+/g, ' ')}`}</Text>
  )
}

function ResidentRow({ resident }: { readonly resident: Resident }) {
  const { name, kind, device, bytes, uses } = resident
  const used = `${uses} ${uses === 1 ? 'use' : 'uses'}`
  return <Text wrap="truncate">{`${name} · ${kind} on ${device} · ${formatBytes(bytes)} · ${used}`}</Text>
}

function formatTime(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000)
  if (seconds < 120) return `${seconds} s`
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`
}

export interface TopScreen {
  update(snapshot: Snapshot, throughput: Throughput): void
  /** Settles when the person quits. */
  readonly quit: Promise<void>
  close(): void
}

/** Shows the dashboard on stdout until the person quits. */
export function openTop(snapshot: Snapshot, throughput: Throughput): TopScreen {
  let onQuit = (): void => undefined
  const quit = new Promise<void>((resolve) => (onQuit = resolve))
  const element = (now: Snapshot, speed: Throughput) => <TopView snapshot={now} throughput={speed} onQuit={onQuit} />
  const instance = render(element(snapshot, throughput), { exitOnCtrlC: false, patchConsole: false })
  return {
    update: (now, speed) => instance.rerender(element(now, speed)),
    quit,
    close: () => instance.unmount(),
  }
}
