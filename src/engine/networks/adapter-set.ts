import type { Adapter, AdapterTarget } from '../weights/adapter.js'
import { matchAdapter, type AdapterHost } from '../weights/adapter-match.js'
import type { GraphCache } from './graph-cache.js'
import { computeOverlay, type Overlay, type WeightedLayer } from './overlay.js'
import type { TextEncoder } from './text-encoder.js'
import type { Unet } from './unet.js'

/** An adapter and how strongly it is applied. */
export interface AdapterUse {
  readonly adapter: Adapter
  readonly scale: number
  /** For the text encoders. @default scale */
  readonly textEncoderScale?: number
}

/** What a set of adapters makes of one model's weights: an overlay for each network that it touches. */
export interface AdapterSet {
  readonly unet?: Overlay
  /** In the order of the model's text encoders. */
  readonly textEncoders: readonly (Overlay | undefined)[]
  /** Layers that name nothing in the model, by adapter. */
  readonly unmatched: ReadonlyMap<Adapter, readonly string[]>
  readonly byteLength: number
  release(): void
}

/** The networks of a model that adapters change. */
export interface AdaptableNetworks {
  readonly unet: Unet
  readonly textEncoders: readonly TextEncoder[]
}

const TEXT_TARGETS: readonly AdapterTarget[] = ['text_encoder', 'text_encoder_2']

/**
 * Computes the overlays of a set of adapters: each weight becomes W + Σ scale · alpha / rank · up @ down over all of them.
 * @throws SwiftdError INVALID_WEIGHTS if an adapter is for another architecture
 */
export async function prepareAdapters(
  graphs: GraphCache,
  { unet, textEncoders }: AdaptableNetworks,
  uses: readonly AdapterUse[],
  signal?: AbortSignal,
): Promise<AdapterSet> {
  const hosts: AdapterHost[] = [
    { target: 'unet', weights: unet.weightShapes, trunk: unet.config },
    ...textEncoders.map((encoder, index) => ({ target: TEXT_TARGETS[index], weights: encoder.weightShapes })),
  ]
  const layers = new Map<AdapterTarget, WeightedLayer[]>()
  const unmatched = new Map<Adapter, readonly string[]>()
  for (const { adapter, scale, textEncoderScale = scale } of uses) {
    const match = matchAdapter(adapter, hosts)
    unmatched.set(adapter, match.unmatched)
    for (const [target, matched] of match.matched) {
      const weighted = matched.map((each) => ({ ...each, scale: target === 'unet' ? scale : textEncoderScale }))
      layers.set(target, [...(layers.get(target) ?? []), ...weighted])
    }
  }

  const overlays: Overlay[] = []
  const overlayOf = async (target: AdapterTarget, network: Unet | TextEncoder): Promise<Overlay | undefined> => {
    const touched = layers.get(target)
    if (!touched) return undefined
    const overlay = await computeOverlay(graphs, network.weights, touched, signal)
    overlays.push(overlay)
    return overlay
  }
  const release = (): void => overlays.splice(0).forEach((overlay) => overlay.release())
  try {
    const forUnet = await overlayOf('unet', unet)
    const forEncoders: (Overlay | undefined)[] = []
    for (const [index, encoder] of textEncoders.entries()) {
      forEncoders.push(await overlayOf(TEXT_TARGETS[index], encoder))
    }
    const byteLength = overlays.reduce((sum, overlay) => sum + overlay.byteLength, 0)
    return { ...(forUnet && { unet: forUnet }), textEncoders: forEncoders, unmatched, byteLength, release }
  } catch (error) {
    release()
    throw error
  }
}
