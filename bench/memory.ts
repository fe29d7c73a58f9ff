/** How much memory a process adds to the machine, from Linux's own accounts (proc(5)). */
import { readFileSync } from 'node:fs'
import { execa } from 'execa'

/** What a second worker cost, in bytes. */
export interface SecondWorkerMemory {
  /** By how much the machine's used memory grew. Other programs' memory is in it. */
  readonly usedBytes: number
  /** Pages that this worker alone has mapped. */
  readonly privateBytes: number
}

/**
 * Starts a worker program twice and measures what the second one adds; the first keeps running for all rounds.
 * The program says `ready` over its IPC channel when it holds all the memory it will, and then waits to be killed.
 */
export async function measureSecondWorker(
  rounds: number,
  program: string,
  args: readonly string[],
): Promise<SecondWorkerMemory[]> {
  const samples: SecondWorkerMemory[] = []
  const first = await start(program, args)
  try {
    for (let round = 0; round < rounds; round++) {
      const before = usedBytes()
      const second = await start(program, args)
      try {
        samples.push({ usedBytes: usedBytes() - before, privateBytes: privateBytes(second.pid) })
      } finally {
        await second.stop()
      }
    }
    return samples
  } finally {
    await first.stop()
  }
}

interface Worker {
  readonly pid: number | undefined
  stop(): Promise<void>
}

async function start(program: string, args: readonly string[]): Promise<Worker> {
  const loader = ['--import', import.meta.resolve('tsx')]
  const child = execa(process.execPath, [...loader, program, ...args], {
    ipc: true,
    reject: false,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  await child.getOneMessage()
  return {
    pid: child.pid,
    async stop() {
      child.kill('SIGKILL')
      await child
    },
  }
}

/** Used memory of the machine: everything but free pages and caches. Shared memory counts, though it lies in the cache. */
function usedBytes(): number {
  const of = readKilobytes('/proc/meminfo')
  const cache = of('Buffers') + of('Cached') + of('SReclaimable') - of('Shmem')
  return (of('MemTotal') - of('MemFree') - cache) * 1024
}

function privateBytes(pid: number | undefined): number {
  const of = readKilobytes(`/proc/${pid}/smaps_rollup`)
  return (of('Private_Clean') + of('Private_Dirty')) * 1024
}

/** Lines such as `MemFree:   1234 kB`. */
function readKilobytes(path: string): (field: string) => number {
  const text = readFileSync(path, 'utf8')
  return (field) => {
    const value = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]
    if (value === undefined) throw new Error(`${path} has no ${field}`)
    return Number(value)
  }
}
