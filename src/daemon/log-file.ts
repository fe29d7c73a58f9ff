import { mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'

/** A descriptor that appends to the log; its directory is made where needed. */
export function openLogFile(path: string): number {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  return openSync(path, 'a', 0o600)
}
