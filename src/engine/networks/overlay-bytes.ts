import { typesOf, type GraphTarget } from '../graph/target.js'
import { elementCount } from '../tensor.js'
import type { AdapterTarget } from '../weights/adapter.js'
import type { WeightShape } from '../weights/weights.js'
import { TEXT_TARGETS, type AdaptableNetworks, type MatchedAdapters } from './adapter-set.js'
import { FLOAT_BYTES } from './weight-bytes.js'

/** What the overlays of a set of LoRAs will take: every weight that one of them changes is there once more. */
export interface OverlayBytes {
  readonly textEncoders: number
  readonly unet: number
}

export function overlayBytes(
  { unet, textEncoders }: AdaptableNetworks,
  { layers }: MatchedAdapters,
  device: GraphTarget,
): OverlayBytes {
  const bytesPerValue = FLOAT_BYTES[typesOf(device).weights]
  const bytesOf = (target: AdapterTarget, shapes: readonly WeightShape[]): number => {
    const touched = new Set(layers.get(target)?.map(({ weight }) => weight))
    // A weight that both halves of the UNet read would be there once.
    const dims = new Map(shapes.map((shape) => [shape.name, shape.dims]))
    const elements = [...dims].reduce((sum, [name, each]) => sum + (touched.has(name) ? elementCount(each) : 0), 0)
    return elements * bytesPerValue
  }
  return {
    textEncoders: textEncoders.reduce((sum, each, index) => sum + bytesOf(TEXT_TARGETS[index], each.weightShapes), 0),
    unet: bytesOf('unet', unet.weightShapes),
  }
}
