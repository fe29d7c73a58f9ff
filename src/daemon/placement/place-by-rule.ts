import type { DeviceWorker } from '../workers/device-worker.js'
import type { Availability, Placement, PlacementChoice, PlacementNeeds } from './placement.js'
import type { DeviceRoles } from './roles.js'
import { isUndecided, offered, withoutStandIns } from './stand-ins.js'

/**
 * Chooses a job's devices among those that are free where nothing is known of their speed: a base device, a second one if
 * the batch must be split, and for each ControlNet the device that was asked for, that the daemon keeps for ControlNets, or
 * that has nothing else to do.
 */
export function placeByRule(
  needs: PlacementNeeds,
  { devices, free }: Pick<Availability, 'devices' | 'free'>,
  allRoles: DeviceRoles,
): PlacementChoice {
  const roles = withoutStandIns(allRoles, devices)
  const named = (name: string): DeviceWorker | undefined => devices.find(({ device }) => device.name === name)
  const split = needs.latentParallel === true && needs.batch > 1
  const isOther = (name: string): boolean => split && needs.baseDevice === undefined && name === needs.secondDevice
  const bases = devices.filter(({ device: { name } }) => isBase(name, needs, roles) && !isOther(name))
  const base = firstReady(bases, free)
  if (!base) return { kind: 'wait', claims: bases.length === 1 ? bases : [] }
  if (isUndecided(base, allRoles, needs)) return { kind: 'wait', claims: [base], until: settled(base.ready()) }

  const notes: string[] = []
  let second: DeviceWorker | undefined
  if (needs.latentParallel === true) {
    const wanted = needs.secondDevice === undefined ? undefined : named(needs.secondDevice)
    const others = wanted ? [wanted] : devices.filter((each) => each !== base && isBase(each.device.name, {}, roles))
    const usable = others.filter((each) => each !== base && each.status.state !== 'failed')
    const reason = whyNotSplit(needs, usable.length)
    if (reason) notes.push(reason)
    else {
      second = firstReady(usable, free)
      if (!second) return { kind: 'wait', claims: [base, ...(usable.length === 1 ? usable : [])] }
    }
  }
  const controlNets = controlDevices(needs, { devices, free: free.filter((each) => each !== second) }, base, roles)
  return { kind: 'start', placement: { base, ...(second && { second }), controlNets, notes } }
}

function settled(ready: Promise<unknown>): Promise<void> {
  return ready.then(
    () => undefined,
    () => undefined,
  )
}

/** A device for each ControlNet; the base where there is no other. */
function controlDevices(
  { controlNets, controlNetDevices: asked }: PlacementNeeds,
  { devices, free }: Pick<Availability, 'devices' | 'free'>,
  base: DeviceWorker,
  roles: DeviceRoles,
): Placement['controlNets'] {
  if (asked?.length) return assignAsked(asked, controlNets, devices)
  const kept = keptForControlNets(devices, roles)
  const idle = offered(free, devices, roles).filter((each) => each !== base && each.status.state === 'idle')
  const pool = kept.length > 0 ? kept : idle
  return Array.from({ length: controlNets }, (_, index) => (pool.length > 0 ? pool[index % pool.length] : base))
}

/** Devices that the daemon was told to keep for ControlNets. */
export function keptForControlNets(devices: readonly DeviceWorker[], roles: DeviceRoles): DeviceWorker[] {
  return devices.filter(({ device, status }) => roles.controlNet.includes(device.name) && status.state !== 'failed')
}

/** The devices that ControlNets were asked to be on; the last one serves those that are left. */
export function assignAsked(asked: readonly string[], count: number, devices: readonly DeviceWorker[]): DeviceWorker[] {
  const named = asked.flatMap((name) => devices.find(({ device }) => device.name === name) ?? [])
  return named.length === 0 ? [] : Array.from({ length: count }, (_, index) => named[Math.min(index, named.length - 1)])
}

/** Why a batch is not split, as a sentence; undefined if it is. */
function whyNotSplit({ batch }: PlacementNeeds, others: number): string | undefined {
  if (batch < 2) return 'Latent parallelism has no effect: without guidance, one image is one pass.'
  if (others === 0) return 'Latent parallelism has no effect: there is no second device for base models.'
  return undefined
}

/** Whether a job may have its base model on a device. */
export function isBase(name: string, { baseDevice }: Pick<PlacementNeeds, 'baseDevice'>, roles: DeviceRoles): boolean {
  return baseDevice === undefined ? roles.base.includes(name) : name === baseDevice
}

/** A failed device is chosen only when no other is left: then the job tells why nothing works. */
function firstReady(wanted: readonly DeviceWorker[], free: readonly DeviceWorker[]): DeviceWorker | undefined {
  const usable = wanted.filter((device) => free.includes(device))
  const healthy = wanted.some(({ status }) => status.state !== 'failed')
  return (
    usable.find(({ status }) => status.state === 'idle') ??
    usable.find(({ status }) => !healthy || status.state !== 'failed')
  )
}
