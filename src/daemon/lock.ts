import { ftruncateSync, openSync, closeSync, writeSync } from 'node:fs'
import { koffi } from '../engine/memory/foreign.js'

/**
 * The lock that makes the daemon the only one of its user. It is the system's own file lock: it ends with the process
 * that holds it, however that ends, so there is no stale lock to judge. The handle stays in this module because koffi
 * closes a library once its handle is collected.
 */
const library = koffi.load(process.platform === 'darwin' ? 'libSystem.B.dylib' : 'libc.so.6')
const flock = library.func('int flock(int fd, int operation)') as (fd: number, operation: number) => number

// The same on Linux and macOS.
const LOCK_EXCLUSIVE = 2
const LOCK_NON_BLOCKING = 4

/**
 * Takes the lock at `path` for as long as this process lives, and writes its id there for people who look.
 * @returns a function that gives it back early, or undefined if another process holds it
 */
export function takeLock(path: string): (() => void) | undefined {
  const fd = openSync(path, 'a', 0o600)
  if (flock(fd, LOCK_EXCLUSIVE | LOCK_NON_BLOCKING) !== 0) {
    closeSync(fd)
    return undefined
  }
  ftruncateSync(fd)
  writeSync(fd, `${process.pid}\n`)
  return () => closeSync(fd)
}
