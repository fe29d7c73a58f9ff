import type { LayerType } from '../graph/patch.js'
import type { GraphWeight } from '../graph/builder.js'
import { elementCount } from '../tensor.js'
import type { AdapterTarget } from '../weights/adapter.js'
import { TEXT_TARGETS, type AdaptableNetworks, type MatchedAdapters } from './adapter-set.js'
import { graphKey } from './graph-cache.js'
import type { WeightedLayer } from './patcher.js'
import type { OverlayBytes } from './overlay-bytes.js'
import type { GraphWork } from './workspaces.js'

/**
 * What a patch takes for each byte of its LoRAs' layers in float32: the most that was measured with the CPU provider of ONNX
 * Runtime 1.30 on x86-64, by bench/patch-memory.ts, for weights of 10240x1280 to 2560x20480 and ranks of 32 to 256. Once for what
 * the factor is multiplied into, once more where layers are widened, and where several are joined.
 */
const LAYERS_FACTOR = 1.15

/** Bytes for each value of a weight in half precision, which is widened and summed in float32: by the same measurements. */
const HALF_BYTES = 8.7

/**
 * The working memory of the patch graphs for the overlays of a set of LoRAs, as `overlayBytes` has those. A graph's is for the
 * largest weight that it patches: weights are patched one after the other.
 */
export function adapterWork(
  { unet, textEncoders }: AdaptableNetworks,
  { layers }: MatchedAdapters,
): Readonly<Record<keyof OverlayBytes, readonly GraphWork[]>> {
  const patches = (name: AdapterTarget, weights: readonly GraphWeight[]): GraphWork[] =>
    patchesOf(weights, layers.get(name) ?? [])
  return {
    textEncoders: largest(textEncoders.flatMap((each, index) => patches(TEXT_TARGETS[index], each.weightShapes))),
    unet: largest(patches('unet', unet.weightShapes)),
  }
}

/** What each weight's patch takes. */
function patchesOf(weights: readonly GraphWeight[], layers: readonly WeightedLayer[]): GraphWork[] {
  const byName = new Map(weights.map((weight) => [weight.name, weight]))
  const byWeight = new Map<string, WeightedLayer[]>()
  for (const layer of layers) byWeight.set(layer.weight, [...(byWeight.get(layer.weight) ?? []), layer])
  return [...byWeight].map(([name, touching]) => {
    const types = touching.map(({ layer }) => layer.up.type as LayerType)
    const { dims, type: kept } = byName.get(name) ?? { dims: [0], type: 'float32' }
    const ofWeight = kept === 'float16' ? HALF_BYTES * elementCount(dims) : 0
    return { kind: 'patch', config: { types, kept }, byteLength: Math.ceil(ofWeight + layersBytes(touching, types)) }
  })
}

function layersBytes(layers: readonly WeightedLayer[], types: readonly LayerType[]): number {
  const elements = layers.reduce((sum, { layer: { up, down } }) => {
    return sum + elementCount(up.dims) + elementCount(down.dims)
  }, 0)
  const copies = 1 + (types.some((type) => type !== 'float32') ? 1 : 0) + (types.length > 1 ? 1 : 0)
  return 4 * elements * copies * LAYERS_FACTOR
}

/** The largest work of each graph. */
function largest(work: readonly GraphWork[]): GraphWork[] {
  const byGraph = new Map<string, GraphWork>()
  for (const each of work) {
    const key = graphKey(each)
    if (each.byteLength >= (byGraph.get(key)?.byteLength ?? 0)) byGraph.set(key, each)
  }
  return [...byGraph.values()]
}
