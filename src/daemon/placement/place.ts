import type { DeviceWorker } from '../workers/device-worker.js'
import { kindOf, listCandidates, type CandidateOptions } from './candidates.js'
import { assignAsked, isBase, keptForControlNets, placeByRule } from './place-by-rule.js'
import type { Availability, Placement, PlacementChoice, PlacementNeeds } from './placement.js'
import { fastest, predictStepMs, type Candidate, type PredictedCandidate, type StageCosts } from './predict.js'
import type { DeviceRoles } from './roles.js'
import { offered, withoutStandIns } from './stand-ins.js'

/**
 * Chooses a job's devices among those that are free. Where the times of its stages are known, it is the placement with the
 * shortest predicted step. Else it is by rule: a base device, a second one if the batch is to be split, and for each
 * ControlNet the device that was asked for, that the daemon keeps for ControlNets, or that has nothing else to do; where
 * there is none the base device computes it itself. The image is the same in each case.
 */
export function place(
  needs: PlacementNeeds,
  availability: Pick<Availability, 'devices' | 'free'>,
  roles: DeviceRoles,
  costs?: StageCosts,
): PlacementChoice {
  const choice = placeByRule(needs, availability, roles)
  if (choice.kind === 'wait' || !costs) return choice
  const { placement } = choice
  const idle = { ...availability, free: availability.free.filter(({ status }) => status.state === 'idle') }
  const options = candidateOptions(needs, idle, roles)
  // By rule it waits for a second device that was asked for, or tells why there is none.
  const split = needs.latentParallel === 'auto' || placement.second !== undefined
  const candidates = listCandidates(split ? options : withoutSplit(options))
  const best = hasChoice(needs, idle, roles) ? fastest(predictAll(candidates, costs)) : undefined
  const chosen = best ? toPlacement(best.candidate, availability.devices, placement.notes) : placement
  const slow = needs.latentParallel === true ? slowerThanAlone(toCandidate(chosen), options, costs) : undefined
  return { kind: 'start', placement: slow === undefined ? chosen : { ...chosen, notes: [...chosen.notes, slow] } }
}

/** What a job's devices may be, of those that are free. */
export function candidateOptions(
  needs: PlacementNeeds,
  { devices, free }: Pick<Availability, 'devices' | 'free'>,
  allRoles: DeviceRoles,
): CandidateOptions {
  const roles = withoutStandIns(allRoles, devices)
  const specs = (workers: readonly DeviceWorker[]) => workers.map(({ device }) => device)
  const { latentParallel, batch, secondDevice, controlNets, controlNetDevices: asked } = needs
  const kept = keptForControlNets(devices, roles)
  const isSecond = ({ device: { name } }: DeviceWorker): boolean =>
    secondDevice === undefined ? roles.base.includes(name) : name === secondDevice
  const fixed = asked?.length ? assignAsked(asked, controlNets, devices) : undefined
  return {
    bases: specs(free.filter(({ device }) => isBase(device.name, needs, roles))),
    seconds: latentParallel === false || batch < 2 ? [] : specs(free.filter(isSecond)),
    mustSplit: latentParallel === true && batch >= 2,
    controlNets,
    services: specs(kept.length > 0 ? kept : offered(free, devices, roles)),
    coLocated: kept.length === 0,
    ...(fixed && { fixed: specs(fixed) }),
  }
}

/**
 * Whether a job leaves something open that the times of its stages decide: splitting its batch, or where its ControlNets
 * run. Which of several devices is its base device is no such question by itself.
 */
export function hasChoice(
  needs: PlacementNeeds,
  { devices, free }: Pick<Availability, 'devices' | 'free'>,
  roles: DeviceRoles,
): boolean {
  const choice = placeByRule(needs, { devices, free }, roles)
  if (choice.kind === 'wait') return false
  const { base, second } = choice.placement
  const options = candidateOptions(needs, { devices, free }, roles)
  const seconds = second ? [second.device] : options.mustSplit ? [] : options.seconds
  const mustSplit = options.mustSplit && second !== undefined
  return listCandidates({ ...options, bases: [base.device], seconds, mustSplit }).length > 1
}

/** The candidates with their times. */
export function predictAll(candidates: readonly Candidate[], costs: StageCosts): PredictedCandidate[] {
  return candidates.map((candidate) => ({ candidate, stepMs: predictStepMs(candidate, costs) }))
}

/** The same choice with the batch as a whole. */
export function withoutSplit(options: CandidateOptions): CandidateOptions {
  return { ...options, seconds: [], mustSplit: false }
}

/**
 * What to say if one of the devices would be faster without the other. Of equal devices nothing is said: there is no faster
 * one, and what the times of small models say otherwise is mostly noise.
 */
function slowerThanAlone(candidate: Candidate, options: CandidateOptions, costs: StageCosts): string | undefined {
  const { base, second } = candidate
  if (second === undefined) return undefined
  const both = [...options.bases, ...options.seconds].filter(({ name }) => name === base || name === second)
  if (new Set(both.map(kindOf)).size < 2) return undefined
  const alone = fastest(predictAll(listCandidates({ ...withoutSplit(options), bases: both }), costs))
  const stepMs = predictStepMs(candidate, costs)
  if (stepMs === undefined || alone?.stepMs === undefined || alone.stepMs >= stepMs) return undefined
  const times = `${formatMs(stepMs)} for a step on ${base} and ${second}, ${formatMs(alone.stepMs)} on ${alone.candidate.base} alone`
  return `Latent parallelism is predicted to be slower than one device: ${times}. Leave it out, or set it to auto.`
}

/** Milliseconds for people. */
export function formatMs(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : String(Math.round(ms))} ms`
}

/** A placement by its devices' names. */
export function toCandidate({ base, second, controlNets, secondControlNets = controlNets }: Placement): Candidate {
  const nameOf = ({ device }: DeviceWorker): string => device.name
  // The base stands for whoever computes the rows.
  const ofSecond = second ? secondControlNets.map((each) => nameOf(each === base ? second : each)) : []
  return {
    ...{ base: nameOf(base), ...(second && { second: nameOf(second) }) },
    ...{ controlNets: controlNets.map(nameOf), secondControlNets: ofSecond },
  }
}

function toPlacement(
  { base, second, controlNets, secondControlNets }: Candidate,
  devices: readonly DeviceWorker[],
  notes: readonly string[],
): Placement {
  const named = (name: string): DeviceWorker => {
    const found = devices.find(({ device }) => device.name === name)
    if (!found) throw new TypeError(`A candidate has the device ${name}, which is not there.`)
    return found
  }
  const placement = { base: named(base), controlNets: controlNets.map(named), notes }
  if (second === undefined) return placement
  return { ...placement, second: named(second), secondControlNets: secondControlNets.map(named) }
}
