import { lstatSync, mkdirSync } from 'node:fs'
import { homedir, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { SwiftdError } from '../engine/errors.js'

/** Where the daemon of one user keeps its things. */
export interface DaemonPaths {
  /** Holds the socket and the lock; only its owner may enter. */
  readonly runtimeDirectory: string
  readonly socket: string
  /** Held by the running daemon for as long as it lives. */
  readonly lock: string
  readonly logFile: string
  /** Files that can be made again: widened weights, hashes. */
  readonly cacheDirectory: string
  /** What a user registered and pulled. */
  readonly dataDirectory: string
}

/** The longest socket path that macOS takes; Linux takes 107 bytes. */
const MAX_SOCKET_PATH_BYTES = 103

/**
 * The paths of the XDG base directory specification. Without XDG_RUNTIME_DIR the socket lies in a directory of the
 * user's own under the system's temporary directory.
 */
export function daemonPaths(environment: NodeJS.ProcessEnv = process.env): DaemonPaths {
  const home = environment.HOME || homedir()
  const runtimeDirectory = environment.XDG_RUNTIME_DIR
    ? join(environment.XDG_RUNTIME_DIR, 'swiftd')
    : join(tmpdir(), `swiftd-${userInfo().uid}`)
  const stateDirectory = join(environment.XDG_STATE_HOME || join(home, '.local/state'), 'swiftd')
  return {
    runtimeDirectory,
    socket: join(runtimeDirectory, 'daemon.sock'),
    lock: join(runtimeDirectory, 'daemon.lock'),
    logFile: join(stateDirectory, 'logs', 'daemon.log'),
    cacheDirectory: join(environment.XDG_CACHE_HOME || join(home, '.cache'), 'swiftd'),
    dataDirectory: join(environment.XDG_DATA_HOME || join(home, '.local/share'), 'swiftd'),
  }
}

/**
 * Makes the runtime directory, or checks the one that is there: whoever else may write to it could put a socket of their
 * own in the daemon's place.
 * @throws SwiftdError DAEMON_UNREACHABLE with what to do
 */
export function ensureRuntimeDirectory(paths: DaemonPaths): void {
  const directory = paths.runtimeDirectory
  if (Buffer.byteLength(paths.socket) > MAX_SOCKET_PATH_BYTES) {
    throw unusable(
      `The socket path ${paths.socket} is longer than the ${MAX_SOCKET_PATH_BYTES} bytes that the system allows`,
      'set XDG_RUNTIME_DIR to a shorter directory',
    )
  }
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw unusable(`The directory ${directory} cannot be made (${reasonOf(error)})`, 'set XDG_RUNTIME_DIR', error)
  }
  const stats = lstatSync(directory)
  const remedy = 'remove it or set XDG_RUNTIME_DIR'
  if (!stats.isDirectory()) throw unusable(`${directory} is not a directory`, remedy)
  if (stats.uid !== userInfo().uid) throw unusable(`${directory} belongs to another user`, remedy)
  if ((stats.mode & 0o077) !== 0) {
    throw unusable(`${directory} is open to other users (mode ${(stats.mode & 0o777).toString(8)})`, `chmod 700 it`)
  }
}

function unusable(what: string, remedy: string, cause?: unknown): SwiftdError {
  return new SwiftdError('DAEMON_UNREACHABLE', `${what}; ${remedy}.`, { cause })
}

function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
