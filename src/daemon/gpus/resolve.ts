import { SwiftdError } from '../../engine/errors.js'
import type { Logger } from '../logger.js'
import { cpuDevices, devicesFromEnvironment, isGpu, type DeviceSpec } from '../workers/devices.js'
import { findDevices, gpuCandidates } from './candidates.js'
import { checkDevice } from './check.js'
import { describeListFailure, isNvidiaDriverLoaded, readMachineGpus, type GpuList } from './machine.js'
import { CUDA_NOT_INSTALLED, CUDA_NOT_OFFERED, describeFailure } from './reasons.js'
import { isCudaInstalled, isCudaOffered } from './runtime-package.js'

/** Whoever waits for the daemon gives up after 30 s; a GPU that takes longer to open must be asked for. */
const DEFAULT_CHECK_MS = 15_000

/**
 * The devices of a daemon: those of SWIFTD_DEVICES, else the GPUs that CUDA is proven to compute on, else the CPU. Only
 * where a GPU is asked for, or CUDA is installed, anything is looked for.
 * @throws SwiftdError INVALID_REQUEST for what is no device, or not there; DEVICE_UNAVAILABLE for a provider that is not installed
 */
export async function resolveDevices(
  environment: NodeJS.ProcessEnv,
  logger?: Pick<Logger, 'info' | 'warn'>,
): Promise<DeviceSpec[]> {
  const asked = devicesFromEnvironment(environment)
  if (!asked) return defaultDevices(environment, logger)
  if (!asked.some(({ name }) => isGpu(name))) return asked
  const devices = findDevices(asked, { ...(await listedGpus(environment, logger)), environment })
  const cuda = devices.find(({ provider }) => provider === 'cuda')
  if (cuda && !isCudaInstalled()) {
    const failure = isCudaOffered() ? CUDA_NOT_INSTALLED : CUDA_NOT_OFFERED
    throw new SwiftdError('DEVICE_UNAVAILABLE', describeFailure(cuda.name, failure))
  }
  return devices
}

/**
 * What runs where nothing is set: the GPUs that CUDA computes on, else the CPU. Without the provider's files or without a
 * driver it costs a few look-ups in directories.
 */
export async function defaultDevices(
  environment: NodeJS.ProcessEnv,
  logger?: Pick<Logger, 'info' | 'warn'>,
): Promise<DeviceSpec[]> {
  if (!isCudaInstalled() || !isNvidiaDriverLoaded()) return cpuDevices()
  const candidates = gpuCandidates({ ...(await listedGpus(environment, logger)), environment })
  const cuda = candidates.filter(({ provider }) => provider === 'cuda')
  const checks = await Promise.all(
    cuda.map((device) => checkDevice(device, { environment, deadlineMs: DEFAULT_CHECK_MS })),
  )
  const usable = cuda.filter((_, index) => checks[index].usable)
  checks.forEach((check, index) => {
    if (!check.usable) logger?.info(describeFailure(cuda[index].name, check))
  })
  return usable.length > 0 ? usable : cpuDevices()
}

/** A daemon starts also where a look at the GPUs takes too long. */
async function listedGpus(environment: NodeJS.ProcessEnv, logger?: Pick<Logger, 'warn'>): Promise<GpuList> {
  const list = await readMachineGpus(environment)
  if (list.failure !== undefined) logger?.warn(describeListFailure(list.failure))
  return list
}
