import type { Plan, PlanCandidate, PlanRequest } from '../src/daemon/protocol/plan.js'
import type { GenerateRequest } from '../src/daemon/protocol/request.js'
import type { MeasuredJob } from './device-jobs.js'
import { figure, type Figure } from './harness.js'

/** A job whose devices are all named, and its jobs as they were measured. */
export interface PlacedJobs {
  readonly request: GenerateRequest
  readonly jobs: readonly MeasuredJob[]
}

/** How far a predicted step may be off, as a share of the measured one. */
const TOLERANCE = '<= 0.15'

/** The planner's request for a job, without its placement: all of its candidates are wanted. */
export function planRequestOf(request: GenerateRequest): PlanRequest {
  const { model, width, height, guidanceScale, controls = [] } = request
  return {
    ...{ model, width, height, guidanceScale, latentParallel: 'auto' },
    controls: controls.map(({ controlNet }) => controlNet),
  }
}

/**
 * The step that the planner predicts for the placement of some jobs, which is what `devices --explain` shows, and by which
 * share of each job's measured step it is off.
 * @param name of the figure of the predicted step
 * @throws Error if the plan has no such placement or no time for it
 */
export function predictionFigures(name: string, plan: Plan, { request, jobs }: PlacedJobs): Record<string, Figure> {
  const candidate = plan.candidates.find((each) => isPlacement(each, request))
  const predictedMs = candidate?.predictedStepMs
  if (predictedMs === undefined) {
    const known = plan.candidates.map(({ description, predictedStepMs }) => `${description}: ${predictedStepMs}`)
    throw new Error(`The plan does not have "${name}" but ${known.join('; ')}.`)
  }
  const errors = jobs.map(({ stepMs }) => Math.abs(predictedMs / stepMs - 1))
  return {
    [name]: figure([predictedMs], 'ms'),
    [`${name}, error`]: figure(errors, 'share', TOLERANCE),
  }
}

/** Whether a candidate is where a request asks to be. A ControlNet on the base device is computed by each of two halves. */
function isPlacement(candidate: PlanCandidate, { controls = [], placement = {} }: GenerateRequest): boolean {
  const { baseDevice, secondDevice, controlNetDevices: [device] = [] } = placement
  const all = (devices: readonly string[], wanted: string | undefined): boolean =>
    devices.every((each) => each === wanted)
  return (
    candidate.base === baseDevice &&
    candidate.second === secondDevice &&
    candidate.controlNets.length === controls.length &&
    all(candidate.controlNets, device) &&
    all(candidate.secondControlNets, device === baseDevice ? secondDevice : device)
  )
}
