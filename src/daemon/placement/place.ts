import type { DeviceWorker } from '../workers/device-worker.js'
import type { Availability, Placement, PlacementChoice } from './placement.js'
import type { DeviceRoles } from './roles.js'

/** What a job needs of devices. */
export interface PlacementNeeds {
  /** How many ControlNets it has. */
  readonly controlNets: number
  /** Split each batch between two devices. */
  readonly latentParallel: boolean
  /** Rows of a batch: the images, twice with guidance. */
  readonly batch: number
  /** Names of devices that were asked for. */
  readonly baseDevice?: string
  readonly secondDevice?: string
  /** One for each ControlNet; the last one serves those that are left. */
  readonly controlNetDevices?: readonly string[]
}

/**
 * Chooses a job's devices among those that are free: a base device, a second one if the batch is to be split, and for each
 * ControlNet the device that was asked for, that the daemon keeps for ControlNets, or that has nothing else to do. Where
 * there is none the base device computes it itself, with the same image.
 */
export function place(needs: PlacementNeeds, { devices, free }: Availability, roles: DeviceRoles): PlacementChoice {
  const named = (name: string): DeviceWorker | undefined => devices.find(({ device }) => device.name === name)
  const bases = devices.filter(({ device }) => isBase(device.name, needs, roles))
  const base = firstReady(bases, free)
  if (!base) return { kind: 'wait', claims: bases.length === 1 ? bases : [] }

  const notes: string[] = []
  let second: DeviceWorker | undefined
  if (needs.latentParallel) {
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

/** A device for each ControlNet; the base where there is no other. */
function controlDevices(
  { controlNets, controlNetDevices: asked = [] }: PlacementNeeds,
  { devices, free }: Availability,
  base: DeviceWorker,
  roles: DeviceRoles,
): Placement['controlNets'] {
  const kept = devices.filter(
    ({ device, status }) => roles.controlNet.includes(device.name) && status.state !== 'failed',
  )
  const idle = free.filter((each) => each !== base && each.status.state === 'idle')
  const pool = kept.length > 0 ? kept : idle
  return Array.from({ length: controlNets }, (_, index) => {
    const name = asked[Math.min(index, asked.length - 1)]
    if (name !== undefined) return devices.find(({ device }) => device.name === name) ?? base
    return pool.length > 0 ? pool[index % pool.length] : base
  })
}

/** Why a batch is not split, as a sentence; undefined if it is. */
function whyNotSplit({ batch }: PlacementNeeds, others: number): string | undefined {
  if (batch < 2) return 'Latent parallelism has no effect: without guidance, one image is one pass.'
  if (others === 0) return 'Latent parallelism has no effect: there is no second device for base models.'
  return undefined
}

function isBase(name: string, { baseDevice }: Pick<PlacementNeeds, 'baseDevice'>, roles: DeviceRoles): boolean {
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
