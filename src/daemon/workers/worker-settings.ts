import { totalmem } from 'node:os'

/** How much of the device's memory unused ControlNets, and unused overlays, may keep. */
const DEFAULT_SHARE = 1 / 4

const DEFAULT_PEER_DEADLINE_MS = 10 * 60_000

/** Beyond this share of the machine's memory the system would begin to write pages out and read them in again. */
const LIMIT_SHARE = 0.8

/**
 * How much may be on a device, in bytes: SWIFTD_DEVICE_MEMORY_MB, or what was found out of the device, or for a CPU most of the
 * machine's memory.
 * @param foundBytes what is free on a device that has memory of its own
 */
export function workerMemoryLimit(environment: NodeJS.ProcessEnv = process.env, foundBytes?: number): number {
  const given = numberOf(environment.SWIFTD_DEVICE_MEMORY_MB)
  return given === undefined ? (foundBytes ?? LIMIT_SHARE * totalmem()) : given * 2 ** 20
}

/**
 * How much of unused ControlNets and overlays a worker keeps, in bytes: SWIFTD_CONTROLNET_CACHE_MB and
 * SWIFTD_LORA_CACHE_MB, where 0 keeps nothing that is not used; a quarter of the device's memory each.
 */
export function workerBudgets(
  memoryBytes: number,
  environment: NodeJS.ProcessEnv = process.env,
): { controlNets: number; adapters: number } {
  const budget = (text: string | undefined): number => {
    const given = numberOf(text)
    return given === undefined ? DEFAULT_SHARE * memoryBytes : given * 2 ** 20
  }
  return {
    controlNets: budget(environment.SWIFTD_CONTROLNET_CACHE_MB),
    adapters: budget(environment.SWIFTD_LORA_CACHE_MB),
  }
}

/** How long one worker waits for another before it takes it for lost: SWIFTD_PEER_DEADLINE_MS. */
export function workerPeerDeadlineMs(environment: NodeJS.ProcessEnv = process.env): number {
  return numberOf(environment.SWIFTD_PEER_DEADLINE_MS) ?? DEFAULT_PEER_DEADLINE_MS
}

function numberOf(text: string | undefined): number | undefined {
  if (text === undefined || text.trim() === '') return undefined
  const value = Number(text)
  return Number.isFinite(value) && value >= 0 ? value : undefined
}
