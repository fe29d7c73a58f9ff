/**
 * Makes a file once, though several processes (or several calls in one) want it at the same time.
 *
 * Whoever makes a file announces it by the temporary file that it writes, `<name>.<host>.<pid>.<random>.tmp`; the others
 * wait until that file is gone, published or abandoned by a dead process. Announcing before looking for others means that
 * of two processes at least one sees the other. The finished file is linked to its name, which fails where there is one
 * already: so even if two do make it (after a process was stopped for long), all use the same.
 */
import { randomBytes } from 'node:crypto'
import { link, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A temporary file that nobody has written to for this long is abandoned, even if a process has its number. */
const QUIET_MS = 60_000

const HOST = hostname().replaceAll(/[^A-Za-z0-9-]/g, '-')

/**
 * Makes `directory/name` unless it is there.
 * @param make fills the given temporary file, which exists and is empty; it must keep writing to it
 * @throws what `make` throws, or the system's error; no temporary file is left then
 */
export async function publishOnce(
  directory: string,
  name: string,
  make: (temporary: string) => Promise<void>,
): Promise<void> {
  const target = join(directory, name)
  while (!(await exists(target))) {
    if ((await livingClaims(directory, name)).length > 0) await pause()
    else await claimAndMake(directory, name, make)
  }
}

/** Removes what processes left that died while they made a file. */
export async function removeAbandoned(directory: string): Promise<void> {
  for (const file of await readdir(directory)) {
    if (file.endsWith('.tmp') && (await isAbandoned(directory, file))) await rm(join(directory, file), { force: true })
  }
}

async function claimAndMake(directory: string, name: string, make: (temporary: string) => Promise<void>) {
  const claim = `${name}.${HOST}.${process.pid}.${randomBytes(6).toString('hex')}.tmp`
  const temporary = join(directory, claim)
  const target = join(directory, name)
  try {
    await (await open(temporary, 'wx')).close()
    const others = (await livingClaims(directory, name)).filter((other) => other !== claim)
    // Both withdraw; the pause is random, so that one comes first next time.
    if (others.length > 0) return await rm(temporary, { force: true }).then(pause)
    if (await exists(target)) return
    await make(temporary)
    await linkUnlessThere(temporary, target)
  } finally {
    await rm(temporary, { force: true })
  }
}

async function linkUnlessThere(temporary: string, target: string): Promise<void> {
  try {
    await link(temporary, target)
  } catch (error) {
    const code = errorCode(error)
    // EEXIST: somebody was faster. ENOENT: somebody took this process for dead. The caller looks again in both cases.
    if (code === 'EEXIST' || code === 'ENOENT') return
    // A file system without hard links.
    if (code === 'EPERM' || code === 'ENOTSUP' || code === 'EOPNOTSUPP' || code === 'ENOSYS') {
      return await rename(temporary, target)
    }
    throw error
  }
}

async function livingClaims(directory: string, name: string): Promise<string[]> {
  const claims = (await readdir(directory)).filter((file) => file.startsWith(`${name}.`) && file.endsWith('.tmp'))
  const abandoned = await Promise.all(claims.map((claim) => isAbandoned(directory, claim)))
  return claims.filter((_, index) => !abandoned[index])
}

async function isAbandoned(directory: string, claim: string): Promise<boolean> {
  const [host, pid] = claim.split('.').slice(-4)
  if (host === HOST && !isAlive(Number(pid))) return true
  const stats = await stat(join(directory, claim)).catch(() => undefined)
  return stats === undefined || Date.now() - stats.mtimeMs > QUIET_MS
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errorCode(error) === 'EPERM'
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

async function pause(): Promise<void> {
  await sleep(20 + Math.random() * 80)
}

function errorCode(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
