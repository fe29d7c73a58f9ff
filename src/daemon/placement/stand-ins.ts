import type { DeviceWorker } from '../workers/device-worker.js'
import { isGpu } from '../workers/devices.js'
import type { PlacementNeeds } from './placement.js'
import type { DeviceRoles } from './roles.js'

/**
 * Beside GPUs, CPUs stand in: a job is given one only where it asks for it by name, where the daemon keeps it for
 * ControlNets, or where no GPU works any more. By itself a step on a CPU takes longer than waiting for a GPU that is busy, and
 * a ControlNet there holds up each step.
 */
export function withoutStandIns(roles: DeviceRoles, devices: readonly DeviceWorker[]): DeviceRoles {
  const bases = devices.filter(({ device }) => roles.base.includes(device.name))
  const working = bases.filter(({ device, status }) => isGpu(device.name) && status.state !== 'failed')
  if (working.length === 0) return roles
  return { ...roles, base: roles.base.filter(isGpu) }
}

/** Of some devices those that a job may be given without asking. */
export function offered(
  some: readonly DeviceWorker[],
  devices: readonly DeviceWorker[],
  roles: DeviceRoles,
): readonly DeviceWorker[] {
  const gpuWorks = devices.some(({ device, status }) => isGpu(device.name) && status.state !== 'failed')
  if (!gpuWorks) return some
  return some.filter(({ device: { name } }) => isGpu(name) || roles.controlNet.includes(name))
}

/** Whether a GPU still shows if it can be opened, while a CPU would stand in for it: the job waits for that. */
export function isUndecided(
  { device, status }: DeviceWorker,
  roles: DeviceRoles,
  { baseDevice }: Pick<PlacementNeeds, 'baseDevice'>,
): boolean {
  const hasStandIn = baseDevice === undefined && roles.base.some((name) => !isGpu(name))
  return hasStandIn && isGpu(device.name) && status.state === 'starting'
}

/** Whether a job asks for a device by its name. */
export function isAsked(name: string, needs: PlacementNeeds): boolean {
  const { baseDevice, secondDevice, textDevice, controlNetDevices = [] } = needs
  return [baseDevice, secondDevice, textDevice, ...controlNetDevices].includes(name)
}
