import type { PlacementNeeds } from '../placement/placement.js'
import type { ResolvedRequest } from '../protocol/request.js'

/** Those fields of a request that tell what it needs of devices. */
export type PlacedRequest = Pick<ResolvedRequest, 'guidanceScale' | 'numImages' | 'latentParallel' | 'placement'> & {
  readonly controls: readonly unknown[]
}

/** What a request needs of devices. */
export function placementNeeds(request: PlacedRequest): PlacementNeeds {
  const { controls, latentParallel = false, guidanceScale, numImages, placement = {} } = request
  return {
    controlNets: controls.length,
    latentParallel,
    batch: guidanceScale > 1 ? 2 * numImages : numImages,
    ...placement,
  }
}
