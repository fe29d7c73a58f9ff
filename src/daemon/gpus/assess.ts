import type { DeviceSpec } from '../workers/devices.js'
import { isNvidiaDriverLoaded, type MachineGpu } from './machine.js'
import {
  CUDA_NOT_INSTALLED,
  CUDA_NOT_OFFERED,
  driverTooOld,
  NO_NVIDIA_DRIVER,
  OLDEST_CUDA_DRIVER,
  type DeviceFailure,
} from './reasons.js'
import { isCudaInstalled, isCudaOffered } from './runtime-package.js'

/** What an assessment looks at; by default this machine. */
export interface Facts {
  readonly cudaOffered?: boolean
  readonly cudaInstalled?: boolean
  readonly nvidiaDriver?: boolean
}

/**
 * Why a device cannot be used, as far as files and versions tell without opening it; undefined where nothing speaks against
 * it, which is no proof.
 */
export function assessDevice(
  device: DeviceSpec,
  gpu: MachineGpu | undefined,
  facts: Facts = {},
): DeviceFailure | undefined {
  const {
    cudaOffered = isCudaOffered(),
    cudaInstalled = isCudaInstalled(),
    nvidiaDriver = isNvidiaDriverLoaded(),
  } = facts
  if (device.provider !== 'cuda') return undefined
  if (!cudaOffered) return CUDA_NOT_OFFERED
  if (!nvidiaDriver && gpu?.driver === undefined) return NO_NVIDIA_DRIVER
  if (gpu?.driver !== undefined && Number.parseInt(gpu.driver) < OLDEST_CUDA_DRIVER) return driverTooOld(gpu.driver)
  return cudaInstalled ? undefined : CUDA_NOT_INSTALLED
}
