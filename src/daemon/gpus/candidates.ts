import { SwiftdError } from '../../engine/errors.js'
import { gpuDevice, isGpu, type DeviceSpec } from '../workers/devices.js'
import { isNvidiaDriverLoaded, type MachineGpu } from './machine.js'
import { NVIDIA } from './pci-bus.js'
import { hasChosenVulkan, visibleCudaDevices } from './pinning.js'

/** What there is to find devices in. */
export interface Machine {
  readonly gpus: readonly MachineGpu[]
  readonly environment: NodeJS.ProcessEnv
  /** What kept the list from being complete. */
  readonly failure?: string
  /** Whether NVIDIA's driver is loaded, also where its GPUs could not be listed. */
  readonly nvidiaDriver?: boolean
}

/** The devices that GPUs of this machine would be, whether or not they can be used: `cuda:N` and `webgpu:N` with their cards. */
export function gpuCandidates({ gpus, environment, nvidiaDriver = isNvidiaDriverLoaded() }: Machine): DeviceSpec[] {
  const nvidia = gpus.filter(({ vendorId, name }) => vendorId === NVIDIA || /nvidia/i.test(name))
  // A driver without a list, as under WSL without lspci: the first GPU is taken to be there, and opening it tells.
  const listed = nvidia.length === 0 && nvidiaDriver ? [undefined] : nvidia
  const visible = visibleCudaDevices(environment)
  const cuda = visible ? visible.map((entry) => namedGpu(entry, nvidia)) : listed
  // What the environment chooses of Vulkan's devices is one device, of which PCI tells nothing.
  const webgpu = hasChosenVulkan(environment) ? [undefined] : gpus
  return [
    ...cuda.map((card, index) => gpuDevice('cuda', index, card)),
    ...webgpu.map((card, index) => gpuDevice('webgpu', index, card)),
  ]
}

/** The GPU of an entry of CUDA_VISIBLE_DEVICES; a UUID tells nothing where there are several. */
function namedGpu(entry: string, gpus: readonly MachineGpu[]): MachineGpu | undefined {
  return /^\d+$/.test(entry) ? gpus[Number(entry)] : gpus.length === 1 ? gpus[0] : undefined
}

/**
 * The devices that were asked for, with their cards.
 * @throws SwiftdError INVALID_REQUEST for one that this machine does not have, with those that it has, and for a card that
 * is asked for twice
 */
export function findDevices(asked: readonly DeviceSpec[], machine: Machine): DeviceSpec[] {
  const candidates = gpuCandidates(machine)
  const found = asked.map((device) => {
    if (!isGpu(device.name)) return device
    const candidate = candidates.find(({ name }) => name === device.name)
    // A software driver, or a GPU that lspci does not list, or not in time: opening it tells whether there is one.
    if (candidate ?? (device.name === 'webgpu:0' || machine.failure !== undefined)) return candidate ?? device
    throw notThere(device, asked, candidates)
  })
  refuseSameCard(found)
  return found
}

function notThere(device: DeviceSpec, asked: readonly DeviceSpec[], candidates: readonly DeviceSpec[]): SwiftdError {
  const cpus = asked.filter(({ provider }) => provider === 'cpu').map(({ name }) => name)
  const known = [...(cpus.length > 0 ? cpus : ['cpu:0']), ...candidates.map(describeCandidate)]
  const none = candidates.some(({ provider }) => provider === device.provider)
    ? ''
    : device.provider === 'cuda'
      ? ': no NVIDIA GPU was found'
      : ': no GPU was found'
  const sentence = `There is no device ${device.name}${none}; this machine has ${known.join(', ')}.`
  return new SwiftdError('INVALID_REQUEST', sentence)
}

function describeCandidate({ name, card }: DeviceSpec): string {
  return card ? `${name} (${card.name})` : name
}

/** A card of two workers has each weight twice, and they take turns on it. */
function refuseSameCard(devices: readonly DeviceSpec[]): void {
  for (const { name, card } of devices) {
    const other = card?.address && devices.find((each) => each.name !== name && each.card?.address === card.address)
    if (!other) continue
    const sentence = `The devices ${name} and ${other.name} are the same GPU (${card.name}); give one of them.`
    throw new SwiftdError('INVALID_REQUEST', sentence)
  }
}
