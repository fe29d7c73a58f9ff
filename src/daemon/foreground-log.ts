/** Where a daemon in the foreground shows its log. */
export interface LogWatcher {
  write(line: string): void
}

/**
 * The watcher of a daemon that `swiftd serve` started, which says so by SWIFTD_FOREGROUND; undefined for all others.
 * A person gets short lines, a program (systemd's journal, a pipe) the lines of JSON as they are.
 */
export function foregroundWatcher(environment: NodeJS.ProcessEnv = process.env): LogWatcher | undefined {
  const { SWIFTD_FOREGROUND } = environment
  delete environment.SWIFTD_FOREGROUND
  if (SWIFTD_FOREGROUND !== '1') return undefined
  const person = process.stderr.isTTY
  return { write: (line) => void process.stderr.write(person ? `${shortLogLine(line)}\n` : line) }
}

const LEVELS: Readonly<Record<number, string>> = { 40: 'warning: ', 50: 'error: ', 60: 'error: ' }

/** A line of the log for a person: time, what happened, and its details as `key=value`. */
export function shortLogLine(json: string): string {
  const { time, level, msg, err, ...details } = JSON.parse(json) as LogEntry
  delete details.pid
  const clock = new Date(time).toTimeString().slice(0, 8)
  const pairs = Object.entries({ ...details, ...(err && { reason: err.message }) })
  const shown = pairs.map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return `${clock} ${LEVELS[level] ?? ''}${msg}${shown.join('')}`
}

interface LogEntry {
  readonly time: number
  readonly level: number
  readonly msg: string
  pid?: number
  readonly err?: { readonly message?: string }
}
