import { totalmem } from 'node:os'

/** A quarter of the memory for each kind of what can be made again. */
const DEFAULT_SHARE = 1 / 4

const DEFAULT_PEER_DEADLINE_MS = 10 * 60_000

/**
 * How much of unused ControlNets and overlays a worker keeps, in bytes: SWIFTD_CONTROLNET_CACHE_MB and
 * SWIFTD_LORA_CACHE_MB, where 0 keeps nothing that is not used.
 */
export function workerBudgets(environment: NodeJS.ProcessEnv = process.env): { controlNets: number; adapters: number } {
  return {
    controlNets: megabytes(environment.SWIFTD_CONTROLNET_CACHE_MB),
    adapters: megabytes(environment.SWIFTD_LORA_CACHE_MB),
  }
}

/** Beyond this share of the machine's memory the system would begin to write pages out and read them in again. */
const LIMIT_SHARE = 0.8

/** How much of what jobs use at once may be on a device, in bytes: SWIFTD_DEVICE_MEMORY_MB, or most of the machine's. */
export function workerMemoryLimit(environment: NodeJS.ProcessEnv = process.env): number {
  const given = numberOf(environment.SWIFTD_DEVICE_MEMORY_MB)
  return given === undefined ? LIMIT_SHARE * totalmem() : given * 2 ** 20
}

/** How long one worker waits for another before it takes it for lost: SWIFTD_PEER_DEADLINE_MS. */
export function workerPeerDeadlineMs(environment: NodeJS.ProcessEnv = process.env): number {
  return numberOf(environment.SWIFTD_PEER_DEADLINE_MS) ?? DEFAULT_PEER_DEADLINE_MS
}

function megabytes(text: string | undefined): number {
  const given = numberOf(text)
  return given === undefined ? DEFAULT_SHARE * totalmem() : given * 2 ** 20
}

function numberOf(text: string | undefined): number | undefined {
  if (text === undefined || text.trim() === '') return undefined
  const value = Number(text)
  return Number.isFinite(value) && value >= 0 ? value : undefined
}
