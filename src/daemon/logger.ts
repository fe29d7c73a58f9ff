import { renameSync, statSync } from 'node:fs'
import { destination, multistream, pino, type Logger } from 'pino'
import type { LogWatcher } from './foreground-log.js'
import { openLogFile } from './log-file.js'

export type { Logger }

/** A log that is larger when the daemon starts becomes the previous log, so that two files bound what is kept. */
const ROTATE_BYTES = 4 * 1024 * 1024

export interface DaemonLog {
  readonly logger: Logger
  /** Open for appending; the workers' output goes there, too. */
  readonly fd: number
}

/** Moves a large log aside, to `<path>.1`. Only for who is about to start the daemon. */
export function rotateLog(path: string): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  if (size > ROTATE_BYTES) renameSync(path, `${path}.1`)
}

/**
 * Opens the daemon's log, one JSON object per line. Writes are synchronous: the last line before a crash is there.
 * @param watcher sees each line, too, where somebody watches the daemon
 */
export function openLog(path: string, watcher?: LogWatcher): DaemonLog {
  const fd = openLogFile(path)
  const level = process.env.SWIFTD_LOG_LEVEL ?? 'info'
  const options = { level, base: { pid: process.pid } }
  const file = destination({ dest: fd, sync: true })
  if (!watcher) return { logger: pino(options, file), fd }
  const both = multistream([
    { stream: file, level: 'trace' },
    { stream: watcher, level: 'trace' },
  ])
  return { logger: pino(options, both), fd }
}
