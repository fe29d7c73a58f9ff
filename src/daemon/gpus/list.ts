import type { ProviderName } from '../../engine/provider-name.js'
import type { DeviceSpec } from '../workers/devices.js'
import { assessDevice } from './assess.js'
import { gpuCandidates } from './candidates.js'
import { checkDevice } from './check.js'
import { readMachineGpus, type MachineGpu } from './machine.js'
import { hasChosenVulkan } from './pinning.js'

/** A device that this machine offers, whether or not a daemon uses it. */
export interface MachineDevice {
  /** For example `cuda:0`. */
  readonly name: string
  readonly provider: ProviderName
  /** What it is: the card's name. */
  readonly hardware: string
  /** On the PCI bus. */
  readonly address?: string
  readonly memory?: { readonly totalBytes: number; readonly freeBytes: number }
  /** Share of the last moment in which it computed, 0 to 1. */
  readonly utilization?: number
  readonly driver?: string
  /** True if it was proven, false if it cannot be used, null if nothing speaks against it and it was not tried. */
  readonly usable: boolean | null
  /** Why it cannot be used. */
  readonly reason?: string
  /** What to do about it. */
  readonly remedy?: string
}

export interface ListOptions {
  readonly environment?: NodeJS.ProcessEnv
  /** Run a graph on each device that nothing speaks against. */
  readonly check: boolean
}

/** What there is of GPUs, as far as they could be listed. */
export interface ListedDevices {
  readonly devices: readonly MachineDevice[]
  /** What kept the list from being complete. */
  readonly failure?: string
}

/** The GPUs of this machine as devices, one for each provider that could use it. */
export async function listGpuDevices({ check, environment = process.env }: ListOptions): Promise<ListedDevices> {
  const { gpus, failure } = await readMachineGpus(environment)
  const candidates = gpuCandidates({ gpus, environment })
  const devices = await Promise.all(candidates.map((device) => describeDevice(device, gpus, { check, environment })))
  return { devices, ...(failure !== undefined && { failure }) }
}

async function describeDevice(
  device: DeviceSpec,
  gpus: readonly MachineGpu[],
  { check, environment = process.env }: ListOptions,
): Promise<MachineDevice> {
  const { name, provider, card } = device
  const gpu = gpus.find(({ address }) => address !== undefined && address === card?.address)
  const { address, memory, utilization, driver } = gpu ?? {}
  const known = {
    ...{ name, provider, hardware: card?.name ?? unknownHardware(provider, environment) },
    ...(address !== undefined && { address }),
    ...(memory && { memory }),
    ...(utilization !== undefined && { utilization }),
    ...(driver !== undefined && { driver }),
  }
  const failure = assessDevice(device, gpu)
  if (failure) return { ...known, usable: false, ...failure }
  if (!check) return { ...known, usable: null }
  const checked = await checkDevice(device, { environment })
  if (checked.usable) return { ...known, usable: true }
  return { ...known, ...checked }
}

function unknownHardware(provider: ProviderName, environment: NodeJS.ProcessEnv): string {
  if (provider === 'cuda') return 'NVIDIA GPU'
  return hasChosenVulkan(environment) ? 'what the Vulkan variables of the environment choose' : 'GPU'
}
