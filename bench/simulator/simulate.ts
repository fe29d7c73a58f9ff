import { createCache, type Cache, type CacheCounts } from './cache.js'
import { createControlDevice, createControlService } from './control-devices.js'
import { createDevices, type Device, type Sharing } from './device.js'
import type { DeviceSpec, JobResult, SimulatedJob, SimulationResult, Strategy } from './model.js'
import { createClock, type Clock } from './process.js'
import { runJob, type BaseHalf, type BaseUnit } from './run-job.js'

/** What is to be simulated: the same input gives the same result. */
export interface Simulation {
  readonly devices: readonly DeviceSpec[]
  readonly strategy: Strategy
  /** In the order in which they arrive. */
  readonly jobs: readonly SimulatedJob[]
  /** What the devices have in common. @default nothing */
  readonly sharing?: Sharing
}

interface SimulatedDevice {
  readonly spec: DeviceSpec
  readonly device: Device
}

/**
 * Simulates a daemon from the first arrival until all jobs are finished: jobs wait in one queue for a base device, each of
 * which works on one at a time.
 * @throws Error if the strategy needs a role that no device has
 */
export function simulate({ devices: specs, strategy, jobs, sharing }: Simulation): SimulationResult {
  checkRoles(specs, strategy)
  const clock = createClock()
  const create = createDevices(clock, sharing)
  const devices = specs.map((spec) => ({ spec, device: create(spec.name) }))
  const units = createUnits(devices, strategy, create)
  const hosts = devices
    .filter(({ spec }) => spec.role === 'controlNet')
    .map(({ spec, device }) => createControlDevice(device, spec.times, strategy.controlNetCache))
  const service = strategy.controlNets === 'service' ? createControlService(hosts) : undefined
  const results = serveAll(clock, jobs, units, (job, unit, done) =>
    clock.start(runJob({ clock, strategy, job, unit, service, done })),
  )
  const controlHosts = service ? hosts : units.flatMap(({ halves }) => halves.map(({ controls }) => controls))
  return {
    jobs: results,
    devices: devices.map(({ spec, device }) => ({
      ...{ name: spec.name, role: spec.role, busyMs: device.busyMs, loadingMs: device.loadingMs },
    })),
    caches: {
      controlNet: totalCounts(controlHosts.map(({ cache }) => cache)),
      lora: totalCounts(units.map(({ loras }) => loras.files)),
      overlay: totalCounts(units.map(({ loras }) => loras.overlays)),
    },
    endMs: Math.max(0, ...results.map(({ finishedMs }) => finishedMs)),
  }
}

/** Lets jobs arrive, hands each to the first unit that is free, and runs the clock to the end. */
function serveAll(
  clock: Clock,
  jobs: readonly SimulatedJob[],
  units: readonly BaseUnit[],
  start: (job: SimulatedJob, unit: BaseUnit, done: (result: JobResult) => void) => void,
): JobResult[] {
  const results: JobResult[] = []
  const busy = new Set<BaseUnit>()
  const queue: number[] = []
  const dispatch = (): void => {
    const unit = units.find((each) => !busy.has(each))
    const index = unit && queue.shift()
    if (unit === undefined || index === undefined) return
    busy.add(unit)
    start(jobs[index], unit, (result) => {
      results[index] = result
      busy.delete(unit)
      dispatch()
    })
  }
  jobs.forEach(({ arrivalMs }, index) => {
    clock.sleep(arrivalMs).onFire(() => {
      queue.push(index)
      dispatch()
    })
  })
  clock.run()
  return results
}

function createUnits(
  devices: readonly SimulatedDevice[],
  strategy: Strategy,
  create: (name: string) => Device,
): BaseUnit[] {
  const withRole = (role: string): SimulatedDevice[] => devices.filter(({ spec }) => spec.role === role)
  const half = ({ spec: { times }, device }: SimulatedDevice): BaseHalf => ({
    ...{ device, times, share: strategy.latentParallel ? times.halfShare : 1 },
    controls: createControlDevice(device, times, strategy.controlNetCache),
  })
  const seconds = withRole('second')
  return withRole('base').map((base, index) => {
    const halves: BaseUnit['halves'] = strategy.latentParallel ? [half(base), half(seconds[index])] : [half(base)]
    return {
      halves,
      loras: {
        loaders: halves.map(({ device }) => create(`${device.name} loader`)),
        files: createCache(strategy.loraCache),
        overlays: createCache(strategy.overlayCache),
      },
    }
  })
}

function checkRoles(specs: readonly DeviceSpec[], { controlNets, latentParallel }: Strategy): void {
  const count = (role: string): number => specs.filter((spec) => spec.role === role).length
  if (count('base') === 0) throw new Error('No device has the role base.')
  if (controlNets === 'service' && count('controlNet') === 0) {
    throw new Error('ControlNets as a service need a device of the role controlNet.')
  }
  if (latentParallel && count('second') !== count('base')) {
    throw new Error(`${count('base')} base devices need as many of the role second, not ${count('second')}.`)
  }
}

function totalCounts(caches: readonly Cache[]): CacheCounts {
  return {
    hits: caches.reduce((sum, { counts }) => sum + counts.hits, 0),
    misses: caches.reduce((sum, { counts }) => sum + counts.misses, 0),
  }
}
