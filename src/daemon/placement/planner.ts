import { isSwiftdError, SwiftdError } from '../../engine/errors.js'
import { withText } from './text-device.js'
import { placementNeeds, type PlacedRequest } from '../jobs/placement-needs.js'
import type { JobRecord } from '../jobs/job.js'
import type { Logger } from '../logger.js'
import type { DeviceWorker } from '../workers/device-worker.js'
import { measureStages } from './measure.js'
import { hasChoice, place } from './place.js'
import type { Availability, PlacementChoice, PlacementNeeds } from './placement.js'
import type { Share, StageCosts } from './predict.js'
import { costsOf, openProfiles } from './profiles.js'
import { checkDevice, type DeviceRoles } from './roles.js'
import { isAsked, offered, withoutStandIns } from './stand-ins.js'
import { readSubject, type Subject, type SubjectRequest } from './subject.js'

/** A job, or something that could become one. */
export type PlannedRequest = PlacedRequest & SubjectRequest

/** Decides on which devices jobs run, and measures what it has to know for that. */
export interface Planner {
  readonly devices: readonly DeviceWorker[]
  readonly roles: DeviceRoles
  /** Refuses a request for devices that the daemon does not have, or for one device twice.
   * @throws SwiftdError INVALID_REQUEST */
  check(request: Pick<PlacedRequest, 'placement'>): void
  /**
   * Chooses a job's devices. A job with a choice that unknown times would decide waits while they are measured, if all
   * devices are free and no other job waits; as soon as one does, the measurement ends and the choice is by rule.
   */
  place(job: JobRecord, availability: Availability): PlacementChoice
  /** The times that are known of a request's stages. */
  costs(request: PlannedRequest): StageCosts
  /** Measures what is not known of a request's stages, unless a device is busy. A job that comes ends it.
   * @throws SwiftdError what keeps a model or a ControlNet from being loaded */
  measure(request: PlannedRequest, free: readonly DeviceWorker[], signal: AbortSignal): Promise<void>
}

export interface PlannerOptions {
  readonly devices: readonly DeviceWorker[]
  readonly roles: DeviceRoles
  readonly cacheDirectory: string
  readonly logger: Logger
}

/** A measurement that runs. */
interface Measuring {
  /** The job that waits for it. */
  readonly job?: JobRecord
  readonly controller: AbortController
  readonly done: Promise<void>
}

export function createPlanner({ devices, roles, cacheDirectory, logger }: PlannerOptions): Planner {
  const profiles = openProfiles(cacheDirectory, logger)
  const specs = devices.map(({ device }) => device)
  const subjects = new WeakMap<JobRecord, Subject | undefined>()
  const asked = new WeakSet<JobRecord>()
  let measuring: Measuring | undefined

  /** A job whose files are gone meanwhile tells so itself when it runs. */
  function subjectOf(job: JobRecord, { batch }: PlacementNeeds): Subject | undefined {
    if (!subjects.has(job)) subjects.set(job, tryRead(job, batch))
    return subjects.get(job)
  }

  function tryRead({ id, request }: JobRecord, batch: number): Subject | undefined {
    try {
      return readSubject(request, batch)
    } catch (error) {
      logger.warn({ err: error, job: id }, 'the job is placed by rule')
      return undefined
    }
  }

  const usable = (): DeviceWorker[] => devices.filter(({ status }) => status.state !== 'failed')
  /** Those that a job may get. What is not needed is not measured: on a CPU beside GPUs that takes minutes. */
  const measurable = (needs: PlacementNeeds): DeviceWorker[] => {
    const taken = offered(usable(), devices, roles)
    return usable().filter((each) => taken.includes(each) || isAsked(each.device.name, needs))
  }
  const allFree = (free: readonly DeviceWorker[]): boolean =>
    !measuring && usable().every((each) => free.includes(each))

  function measure(needs: PlacementNeeds, subject: Subject, ended: AbortSignal, job?: JobRecord): Promise<void> {
    const controller = new AbortController()
    const { base } = withoutStandIns(roles, devices)
    const keepsModel = (name: string): boolean => base.includes(name)
    const done = measureStages({
      ...{ subject, devices: measurable(needs), shares: sharesOf(needs), profiles, keepsModel },
      signal: AbortSignal.any([controller.signal, ended]),
    }).finally(() => {
      if (measuring === current) measuring = undefined
    })
    const current: Measuring = { controller, done, ...(job && { job }) }
    measuring = current
    return done
  }

  /** Whether a job has to wait for a measurement; begins it. */
  function beginMeasuring(
    job: JobRecord,
    needs: PlacementNeeds,
    { free, waiting }: Availability,
  ): Promise<void> | undefined {
    if (asked.has(job) || waiting > 1 || !allFree(free) || !hasChoice(needs, { devices, free: usable() }, roles))
      return undefined
    const subject = subjectOf(job, needs)
    if (!subject) return undefined
    const known = (share: Share) => measurable(needs).every(({ device }) => profiles.times(subject, device, share))
    if (sharesOf(needs).every(known)) return undefined
    asked.add(job)
    const message = 'Measuring on which devices this job is fastest; the daemon remembers it.'
    const timer = setTimeout(() => job.emit({ type: 'warning', message }), TOLD_AFTER_MS)
    return measure(needs, subject, job.signal, job)
      .catch((error: unknown) => logger.warn({ err: error, job: job.id }, 'not all stages were measured'))
      .finally(() => clearTimeout(timer))
  }

  return {
    devices,
    roles,
    check({ placement = {} }) {
      const { baseDevice, secondDevice, textDevice, controlNetDevices = [] } = placement
      const names = [baseDevice, secondDevice, textDevice, ...controlNetDevices].filter((name) => name !== undefined)
      names.forEach((name) =>
        checkDevice(
          name,
          devices.map(({ device }) => device.name),
        ),
      )
      if (baseDevice === undefined || baseDevice !== secondDevice) return
      throw new SwiftdError(
        'INVALID_REQUEST',
        `The second device must be another one than the base device, ${baseDevice}.`,
      )
    },
    place(job, availability) {
      const needs = placementNeeds(job.request)
      if (measuring) {
        if (measuring.job === job && availability.waiting === 1) return { kind: 'wait', claims: [] }
        measuring.controller.abort()
      }
      const until = beginMeasuring(job, needs, availability)
      if (until) return { kind: 'wait', claims: [], until }
      const subject = devices.length > 1 ? subjectOf(job, needs) : undefined
      return withText(
        place(needs, availability, roles, subject && costsOf(profiles, subject, specs)),
        needs,
        devices,
        roles,
      )
    },
    costs: (request) => costsOf(profiles, readSubject(request, placementNeeds(request).batch), specs),
    async measure(request, free, signal) {
      const needs = placementNeeds(request)
      if (!allFree(free)) return
      try {
        await measure(needs, readSubject(request, needs.batch), signal)
      } catch (error) {
        // A device that is lost, or too small, or wanted by a job is left without times.
        if (!isSwiftdError(error) || !UNMEASURED.has(error.code)) throw error
      }
    },
  }
}

/** A measurement that takes longer is told to whoever waits for the job. */
const TOLD_AFTER_MS = 10_000

const UNMEASURED = new Set<string>(['CANCELLED', 'WORKER_LOST', 'OUT_OF_MEMORY'])

/** What of the batch a job's devices may compute. */
function sharesOf({ latentParallel, batch }: PlacementNeeds): Share[] {
  return latentParallel === false || batch < 2 ? ['full'] : ['full', 'half']
}
