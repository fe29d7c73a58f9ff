import { closeSync, existsSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Flags } from '@oclif/core'
import { daemonPaths } from '../../daemon/paths.js'
import { BaseCommand } from '../_shared/base-command.js'
import { numberFlag } from '../_shared/flags.js'

/** What --json prints. */
export interface LogsResult {
  readonly logFile: string
  /** The last ones, as they are in the file. */
  readonly lines: readonly string[]
}

const POLL_MS = 200

export default class DaemonLogs extends BaseCommand {
  static override summary = "Print the daemon's log."

  static override examples = ['<%= config.bin %> daemon logs -n 20', '<%= config.bin %> daemon logs -f']

  static override flags = {
    lines: numberFlag('lines', {
      char: 'n',
      description: 'How many of the last lines to print.  [default: 100]',
      env: 'SWIFTD_LOG_LINES',
      range: { min: 0, max: 1_000_000 },
    }),
    follow: Flags.boolean({ char: 'f', description: 'Go on printing what is added.', env: 'SWIFTD_LOG_FOLLOW' }),
  }

  async run(): Promise<LogsResult> {
    const { flags } = await this.parse(DaemonLogs)
    const { logFile } = daemonPaths()
    const { lines, end } = readTail(logFile, flags.lines ?? 100)
    if (this.jsonEnabled()) return { logFile, lines }
    for (const line of lines) this.log(line)
    if (lines.length === 0) process.stderr.write(`The log ${logFile} is empty.\n`)
    if (flags.follow) await follow(logFile, end)
    return { logFile, lines }
  }
}

/** The last lines of a file, and where it ended. */
function readTail(path: string, count: number): { lines: string[]; end: number } {
  const text = existsSync(path) ? readFrom(path, 0) : Buffer.alloc(0)
  const all = text.toString('utf8').split('\n')
  if (all.at(-1) === '') all.pop()
  return { lines: count === 0 ? [] : all.slice(-count), end: text.byteLength }
}

/** Prints what is appended until the process is interrupted. A file that got shorter is a new log, read from its begin. */
async function follow(path: string, end: number): Promise<never> {
  for (let position = end; ; await sleep(POLL_MS)) {
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
    if (size < position) position = 0
    if (size === position) continue
    const added = readFrom(path, position)
    position += added.byteLength
    process.stdout.write(added)
  }
}

function readFrom(path: string, position: number): Buffer {
  const fd = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(fd).size - position))
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.byteLength, position))
  } finally {
    closeSync(fd)
  }
}
