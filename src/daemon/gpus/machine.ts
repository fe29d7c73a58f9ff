import { existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { z } from 'zod'
import type { Card } from '../workers/devices.js'
import { runChild } from './child.js'
import { NVIDIA, pciGpus } from './pci-bus.js'

/** A GPU of this machine, as its driver and the PCI bus tell of it. */
export interface MachineGpu extends Card {
  /** Of its own, where the driver tells it. */
  readonly memory?: { readonly totalBytes: number; readonly freeBytes: number }
  /** Share of the last moment in which it computed, 0 to 1, where the driver tells it. */
  readonly utilization?: number
  /** The driver's version, where it tells it. */
  readonly driver?: string
}

const MachineGpuSchema = z.object({
  name: z.string(),
  address: z.string().optional(),
  vendorId: z.string().optional(),
  deviceId: z.string().optional(),
  memory: z.object({ totalBytes: z.number(), freeBytes: z.number() }).optional(),
  utilization: z.number().optional(),
  driver: z.string().optional(),
})

/** The GPUs of a machine, as far as they could be listed. */
export interface GpuList {
  /** In the order of their PCI addresses, which is nvidia-smi's. */
  readonly gpus: readonly MachineGpu[]
  /** What kept the list from being complete, as a clause: "nvidia-smi gave no answer within 10 s". */
  readonly failure?: string
}

/** With several cards nvidia-smi may take some seconds, and whoever waits for the daemon gives up after 30. */
const DEFAULT_LIST_MS = 10_000

/**
 * The GPUs of this machine. A child process looks for them (machine-main.ts), since a command that it asks may hang with its
 * driver: after SWIFTD_GPU_LIST_DEADLINE_MS, by default ten seconds, there is only what the system tells without it, and why.
 */
export async function readMachineGpus(environment: NodeJS.ProcessEnv = process.env): Promise<GpuList> {
  const given = Number(environment.SWIFTD_GPU_LIST_DEADLINE_MS)
  const deadlineMs = given > 0 ? given : DEFAULT_LIST_MS
  try {
    const told = await runChild(new URL('./machine-main', import.meta.url), { environment, deadlineMs })
    return { gpus: withUnlisted(z.array(MachineGpuSchema).parse(told)) }
  } catch (error) {
    const failure = error instanceof Error ? error.message.replace(/\.$/, '') : String(error)
    return { gpus: quickGpus(), failure }
  }
}

/** Those that Linux and NVIDIA's driver tell of by a few files: without models, memory and use. */
export function quickGpus(): MachineGpu[] {
  return withUnlisted(pciGpus())
}

function withUnlisted(listed: readonly MachineGpu[]): MachineGpu[] {
  const known = listed.some(({ vendorId }) => vendorId === NVIDIA)
  return [...listed, ...(known ? [] : unlistedNvidiaGpus())].sort(byAddress)
}

export const LIST_REMEDY = 'see what that command does by itself, or give it longer by SWIFTD_GPU_LIST_DEADLINE_MS'

/** What to tell of a list that is not complete. */
export function describeListFailure(failure: string): string {
  return `The GPUs could not be listed: ${failure}; ${LIST_REMEDY}.`
}

function byAddress({ address: a = '' }: MachineGpu, { address: b = '' }: MachineGpu): number {
  return a < b ? -1 : a > b ? 1 : 0
}

const NVIDIA_GPUS = '/proc/driver/nvidia/gpus'

/** Without lspci, as in many containers, the package lists nothing; NVIDIA's driver names the addresses itself. */
function unlistedNvidiaGpus(): MachineGpu[] {
  try {
    return readdirSync(NVIDIA_GPUS).map((address) => ({ name: 'NVIDIA GPU', address, vendorId: NVIDIA }))
  } catch {
    return []
  }
}

/** Whether a driver of NVIDIA is loaded, as a look at a few files tells; WSL has it in a place of its own. */
export function isNvidiaDriverLoaded(): boolean {
  return ['/proc/driver/nvidia/version', '/dev/nvidiactl', '/usr/lib/wsl/lib/libcuda.so.1'].some((path) =>
    existsSync(path),
  )
}

/** Whether GPUs could be listed: on Linux that takes lspci. */
export function canListGpus(environment: NodeJS.ProcessEnv = process.env): boolean {
  const directories = (environment.PATH ?? '').split(delimiter)
  return process.platform !== 'linux' || directories.some((directory) => existsSync(join(directory, 'lspci')))
}

/** The free memory of a card at this moment, in bytes; undefined where nobody tells it. */
export async function freeBytesOf(address: string): Promise<number | undefined> {
  const { gpus } = await readMachineGpus()
  return gpus.find((gpu) => gpu.address === address)?.memory?.freeBytes
}
