import type { GraphWeight } from '../graph/builder.js'
import { elementCount } from '../tensor.js'
import type { AdapterTarget } from '../weights/adapter.js'
import { TEXT_TARGETS, type AdaptableNetworks, type MatchedAdapters } from './adapter-set.js'
import { FLOAT_BYTES } from './weight-bytes.js'

/** What the overlays of a set of LoRAs will take: every weight that one of them changes is there once more. */
export interface OverlayBytes {
  readonly textEncoders: number
  readonly unet: number
}

export function overlayBytes({ unet, textEncoders }: AdaptableNetworks, { layers }: MatchedAdapters): OverlayBytes {
  const bytesOf = (target: AdapterTarget, shapes: readonly GraphWeight[]): number => {
    const touched = new Set(layers.get(target)?.map(({ weight }) => weight))
    // A weight that both halves of the UNet read would be there once.
    const weights = new Map(shapes.filter(({ name }) => touched.has(name)).map((each) => [each.name, each]))
    return [...weights.values()].reduce((sum, { dims, type }) => sum + elementCount(dims) * FLOAT_BYTES[type], 0)
  }
  return {
    textEncoders: textEncoders.reduce((sum, each, index) => sum + bytesOf(TEXT_TARGETS[index], each.weightShapes), 0),
    unet: bytesOf('unet', unet.weightShapes),
  }
}
