import type { PlacementNeeds } from '../placement/place.js'
import type { ResolvedRequest } from '../protocol/request.js'

/** What a request needs of devices. */
export function placementNeeds(request: ResolvedRequest): PlacementNeeds {
  const { controls, latentParallel = false, guidanceScale, numImages, placement = {} } = request
  return {
    controlNets: controls.length,
    latentParallel,
    batch: guidanceScale > 1 ? 2 * numImages : numImages,
    ...placement,
  }
}
