import { formatBytes } from '../../daemon/models/format.js'
import type { PullProgress } from '../../daemon/models/hub/pull.js'

/** Shows on stderr how a download goes. */
export interface TransferProgress {
  update(progress: PullProgress): void
  /** Leaves the terminal as it should stay. */
  close(): void
}

const REDRAW_MS = 100
const SECONDS_BETWEEN_LINES = 5

/** One line that changes where a person looks at a terminal; else a line for each file, and one every few seconds. */
export function createTransferProgress({ quiet }: { readonly quiet: boolean }): TransferProgress {
  if (quiet) return { update: () => undefined, close: () => undefined }
  const { CI, NO_COLOR, TERM } = process.env
  const live = process.stderr.isTTY && !CI && !NO_COLOR && TERM !== 'dumb'
  const interval = live ? REDRAW_MS : SECONDS_BETWEEN_LINES * 1000
  const began = performance.now()
  let first: number | undefined
  let shown: { readonly file: string; readonly time: number } | undefined
  return {
    update(progress) {
      first ??= progress.bytes
      const time = performance.now()
      const due = shown?.file !== progress.file || time - shown.time > interval
      if (!due && progress.bytes !== progress.totalBytes) return
      shown = { file: progress.file, time }
      const line = describe(progress, (progress.bytes - first) / ((time - began) / 1000))
      process.stderr.write(live ? `\r${line.slice(0, (process.stderr.columns || 80) - 1)}\x1b[K` : `${line}\n`)
    },
    close() {
      if (live && shown) process.stderr.write('\r\x1b[K')
      shown = undefined
    },
  }
}

function describe({ file, bytes, totalBytes }: PullProgress, bytesPerSecond: number): string {
  const percent = totalBytes === 0 ? 100 : Math.floor((bytes / totalBytes) * 100)
  const speed = `${formatBytes(Math.round(bytesPerSecond))}/s`
  return `${percent}% of ${formatBytes(totalBytes)}, ${speed}, ${file}`
}
