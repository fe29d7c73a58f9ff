import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { daemonPaths, ensureRuntimeDirectory } from './paths.js'

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'swiftd-paths-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

describe('daemon paths', () => {
  it('follow the XDG directories', () => {
    const environment = {
      HOME: '/h',
      XDG_RUNTIME_DIR: '/r',
      XDG_STATE_HOME: '/s',
      XDG_CACHE_HOME: '/c',
      XDG_DATA_HOME: '/d',
    }
    expect(daemonPaths(environment)).toEqual({
      ...{ runtimeDirectory: '/r/swiftd', socket: '/r/swiftd/daemon.sock', lock: '/r/swiftd/daemon.lock' },
      ...{ logFile: '/s/swiftd/logs/daemon.log', cacheDirectory: '/c/swiftd', dataDirectory: '/d/swiftd' },
    })
  })

  it('fall back to the home directory, and to a directory of the user under the temporary one', () => {
    expect(daemonPaths({ HOME: '/h' })).toMatchObject({
      runtimeDirectory: join(tmpdir(), `swiftd-${userInfo().uid}`),
      logFile: '/h/.local/state/swiftd/logs/daemon.log',
      cacheDirectory: '/h/.cache/swiftd',
    })
  })
})

describe('runtime directory', () => {
  it('is made for its owner alone, and accepted again', () => {
    const paths = daemonPaths({ XDG_RUNTIME_DIR: directory })
    ensureRuntimeDirectory(paths)
    ensureRuntimeDirectory(paths)
    expect(statSync(paths.runtimeDirectory).mode & 0o777).toBe(0o700)
  })

  it('is refused when others may enter it', () => {
    const paths = daemonPaths({ XDG_RUNTIME_DIR: directory })
    mkdirSync(paths.runtimeDirectory)
    chmodSync(paths.runtimeDirectory, 0o755)
    expect(() => ensureRuntimeDirectory(paths)).toThrow(/open to other users \(mode 755\); chmod 700/)
  })

  it('is refused when it is no directory', () => {
    writeFileSync(join(directory, 'swiftd'), '')
    const refused = expect.objectContaining({ code: 'DAEMON_UNREACHABLE' }) as Error
    expect(() => ensureRuntimeDirectory(daemonPaths({ XDG_RUNTIME_DIR: directory }))).toThrow(refused)
  })

  it('is refused when its socket path is longer than systems allow', () => {
    const paths = daemonPaths({ XDG_RUNTIME_DIR: join(directory, 'x'.repeat(100)) })
    expect(() => ensureRuntimeDirectory(paths)).toThrow('set XDG_RUNTIME_DIR to a shorter directory')
  })
})
