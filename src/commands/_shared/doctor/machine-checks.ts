import { existsSync, statfsSync } from 'node:fs'
import { access, constants } from 'node:fs/promises'
import { dirname } from 'node:path'
import { formatBytes } from '../../../daemon/models/format.js'
import type { DaemonPaths } from '../../../daemon/paths.js'
import { machineMemory, type MachineMemory } from '../memory.js'
import { fail, ok, reasonOf, warn, type Check } from './check.js'

const GIB = 1024 ** 3
const MIB = 1024 ** 2

/** Node's version against what package.json asks for. */
export function checkNode(version: string = process.versions.node): Check {
  const [major, minor] = version.split('.').map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return ok('node', `Node ${version}`)
  return fail('node', `Node ${version}`, 'install Node 20.19 or newer')
}

/** Memory that programs can get without others being swapped out. */
export function checkMemory({ available, total }: MachineMemory = machineMemory()): Check {
  const found = `${formatBytes(available)} of ${formatBytes(total)} available`
  const remedy = 'close other programs, or use a smaller model'
  if (available < GIB) return fail('memory', found, remedy)
  if (available < 8 * GIB) {
    return warn('memory', `${found}; an SD 1.5 model in float32 takes about 4.3 GB, SDXL about 14 GB`, remedy)
  }
  return ok('memory', found)
}

/** Whether directories that swiftd fills can be written and have room. */
export function checkDisks({ cacheDirectory, dataDirectory }: DaemonPaths): Promise<Check[]> {
  return Promise.all([
    checkDisk('cache', cacheDirectory, 'set XDG_CACHE_HOME to a directory on a larger disk, or make room'),
    checkDisk('data', dataDirectory, 'set XDG_DATA_HOME to a directory on a larger disk, or make room'),
  ])
}

async function checkDisk(name: string, directory: string, remedy: string): Promise<Check> {
  const existing = nearestExisting(directory)
  try {
    await access(existing, constants.W_OK)
  } catch (error) {
    return fail(name, `${existing} is not writable (${reasonOf(error)})`, `let this user write to ${existing}`)
  }
  const { bavail, bsize } = statfsSync(existing)
  const free = bavail * bsize
  const found = `${formatBytes(free)} free for ${directory}`
  if (free < 256 * MIB) return fail(name, found, remedy)
  return free < 10 * GIB ? warn(name, `${found}; models have several GB`, remedy) : ok(name, found)
}

function nearestExisting(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearestExisting(dirname(path))
}

/**
 * /dev/shm, which matters only where the system has no anonymous shared memory.
 * @param anonymous whether it has
 */
export function checkShmSize(anonymous: boolean, path = '/dev/shm'): Check {
  if (anonymous) return ok('shared memory', `anonymous, bounded by the memory only${describeShm(path)}`)
  return ok('shared memory', 'files that lose their name at once, in the temporary directory')
}

function describeShm(path: string): string {
  if (!existsSync(path)) return ''
  const { blocks, bsize } = statfsSync(path)
  return ` (${path} has ${formatBytes(blocks * bsize)} and is not used)`
}
