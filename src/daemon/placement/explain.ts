import type { DeviceStatus } from '../protocol/status.js'
import type { Plan, PlanCandidate } from '../protocol/plan.js'
import type { DeviceWorker } from '../workers/device-worker.js'
import { placementNeeds } from '../jobs/placement-needs.js'
import { listCandidates } from './candidates.js'
import { candidateOptions, place, predictAll, toCandidate } from './place.js'
import type { PlannedRequest, Planner } from './planner.js'
import { describeCandidate, type PredictedCandidate } from './predict.js'
import { withoutStandIns } from './stand-ins.js'

/** What a plan says of the choice; its other fields describe what was asked. */
export type Explanation = Pick<Plan, 'candidates' | 'chosen' | 'measured' | 'notes'>

export interface ExplainOptions {
  readonly planner: Planner
  /** Devices that no job has. */
  readonly free: readonly DeviceWorker[]
  /** Of the ControlNets. */
  readonly controlNames: readonly string[]
}

/**
 * The candidates for a request with their predicted steps, and the choice. The candidates are those of all devices that
 * are not broken; the choice is what the devices that are free at this moment allow.
 */
export function explain(request: PlannedRequest, { planner, free, controlNames }: ExplainOptions): Explanation {
  const { devices, roles } = planner
  const needs = placementNeeds(request)
  const costs = planner.costs(request)
  const usable = devices.filter(({ status }) => status.state !== 'failed')
  const options = candidateOptions(needs, { devices, free: usable }, roles)
  // A batch that cannot be split is placed as a whole.
  const mustSplit = options.mustSplit && options.seconds.length > 1
  const predicted = predictAll(listCandidates({ ...options, mustSplit }), costs)
  const ordered = [...predicted].sort((a, b) => (a.stepMs ?? Infinity) - (b.stepMs ?? Infinity))
  const describe = ({ candidate, stepMs }: PredictedCandidate): PlanCandidate => ({
    description: describeCandidate(candidate, controlNames),
    ...{ base: candidate.base, ...(candidate.second !== undefined && { second: candidate.second }) },
    ...{ controlNets: [...candidate.controlNets], secondControlNets: [...candidate.secondControlNets] },
    ...(stepMs !== undefined && { predictedStepMs: stepMs }),
  })
  const choice = place(needs, { devices, free }, roles, costs)
  const chosen = choice.kind === 'start' ? predictAll([toCandidate(choice.placement)], costs)[0] : undefined
  return {
    candidates: ordered.map(describe),
    ...(chosen && { chosen: describe(chosen) }),
    measured: predicted.every(({ stepMs }) => stepMs !== undefined),
    notes: choice.kind === 'start' ? [...choice.placement.notes] : ['All devices that it may have are busy: it waits.'],
  }
}

/** A device's status with its roles. */
export function withRoles(status: DeviceStatus, planner: Planner): Plan['devices'][number] {
  const roles = withoutStandIns(planner.roles, planner.devices)
  const has = (names: readonly string[]): boolean => names.includes(status.name)
  // Where none is kept for ControlNets, each device may run them.
  const service = roles.controlNet.length === 0 || has(roles.controlNet)
  return {
    ...status,
    roles: [...(has(roles.base) ? ['base' as const] : []), ...(service ? ['controlnet' as const] : [])],
  }
}
