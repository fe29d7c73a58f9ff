import { closeSync, ftruncateSync } from 'node:fs'
import { mapShared, openAnonymousFile, unmap, viewMemory } from '../../engine/memory/libc.js'
import { runtimeInfo } from '../../engine/ort/runtime-info.js'
import type { Probe, ProbeResult } from './probe.js'

/**
 * The program of `doctor`'s child: tries what could end a process, and prints what it found as one line of JSON. A worker
 * would fail in the same way, and only say so in the log.
 */

const PAGES = 64 * 1024

function attempt<T>(what: () => T): ProbeResult<T> {
  try {
    return { ok: true, value: what() }
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) }
  }
}

/** Whether memory can be shared between processes without a name; false where the system has no such call. */
function trySharedMemory(): boolean {
  const fd = openAnonymousFile('swiftd-probe')
  if (fd === undefined) return false
  try {
    ftruncateSync(fd, PAGES)
    const address = mapShared(fd, PAGES, 'read-write')
    new Uint8Array(viewMemory(address, PAGES)).fill(1)
    unmap(address, PAGES)
    return true
  } finally {
    closeSync(fd)
  }
}

const probe: Probe = { runtime: attempt(runtimeInfo), anonymousMemory: attempt(trySharedMemory) }
process.stdout.write(`${JSON.stringify(probe)}\n`, () => process.exit(0))
