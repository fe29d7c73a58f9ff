import { readFileSync } from 'node:fs'
import { freemem, totalmem } from 'node:os'

export interface MachineMemory {
  /** Bytes that programs can get without others being swapped out. */
  readonly available: number
  readonly total: number
}

export function machineMemory(): MachineMemory {
  return { available: availableMemory(), total: totalmem() }
}

function availableMemory(): number {
  try {
    const match = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))
    if (match) return Number(match[1]) * 1024
  } catch {
    // Not on Linux.
  }
  return freemem()
}
