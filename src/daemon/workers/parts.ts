import { residualDims, type TrunkShapes } from '../../engine/graph/trunk-shapes.js'
import { isPositiveOnly, type ControlStrength } from '../../engine/pipeline/control-strength.js'
import type { Part, Peer } from './passes/messages.js'
import type { TensorHandle } from './tensor-handle.js'

/** Rows `begin` to `end` of a batch. */
export type Rows = readonly [begin: number, end: number]

/**
 * How a batch is split in two for two devices: the halves of the guidance, or without guidance the images.
 * @param batch rows: the images, twice with guidance
 * @returns the whole batch as one where there is nothing to split
 */
export function splitRows(batch: number): Rows[] {
  if (batch < 2) return [[0, batch]]
  const middle = Math.ceil(batch / 2)
  return [
    [0, middle],
    [middle, batch],
  ]
}

export interface PartsOptions {
  readonly rows: readonly Rows[]
  /** Dims of the latents of the whole batch, (B, C, h, w). */
  readonly dims: readonly [number, number, number, number]
  readonly shapes: TrunkShapes
  /** The first row that is not of the negative half of the guidance. */
  readonly positiveRow: number
  readonly controls: readonly ControlStrength[]
  /** Makes a tensor of the job. */
  readonly allocate: (dims: readonly number[]) => TensorHandle
}

/** A job's parts with memory for their residuals, before it is said who computes what. */
export function allocateParts({ rows, dims, shapes, positiveRow, controls, allocate }: PartsOptions): Part[] {
  return rows.map(([first, end]): Part => {
    const count = end - first
    const residuals = residualDims(shapes, [count, ...dims.slice(1)])
    const assignments = controls.flatMap((strength, control): Part['controls'] => {
      const begin = isPositiveOnly(strength) ? Math.max(0, positiveRow - first) : 0
      // A part with negative rows only is not controlled at all.
      return begin < count ? [{ control, begin, residuals: residuals.map(allocate) }] : []
    })
    return { rows: [first, end], controls: assignments }
  })
}

/** Who computes a job's parts; undefined is the worker that runs the loop. */
export interface Assignment {
  /** By part. */
  readonly bases: readonly (Peer | undefined)[]
  /** By part, by ControlNet; undefined is the worker that computes the rows. */
  readonly controlNets: readonly (readonly (Peer | undefined)[])[]
  /** The worker that runs the loop, as the others know it. */
  readonly lead: Peer
}

/** Says for each part, and for each ControlNet of a part, which worker computes it, as seen by the worker that needs it. */
export function assignParts(parts: readonly Part[], { bases, controlNets, lead }: Assignment): Part[] {
  return parts.map((part, index) => {
    const peer = bases[index]
    const own = peer ?? lead
    const controls = part.controls.map((assignment) => {
      const computes = controlNets[index][assignment.control]
      return { ...assignment, ...(computes && computes.device !== own.device && { peer: computes }) }
    })
    return { rows: part.rows, controls, ...(peer && { peer }) }
  })
}
