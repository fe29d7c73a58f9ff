import { SwiftdError } from '../errors.js'
import type { Adapter, AdapterTarget } from '../weights/adapter.js'
import { matchAdapter, type AdapterHost } from '../weights/adapter-match.js'
import type { GraphCache } from './graph-cache.js'
import { computeOverlay, type Overlay } from './overlay.js'
import type { WeightedLayer } from './patcher.js'
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
}

/** The networks of a model that adapters change. */
export interface AdaptableNetworks {
  readonly unet: Unet
  readonly textEncoders: readonly TextEncoder[]
}

/** The layers of a set of adapters, by what they change in one model. */
export interface MatchedAdapters {
  readonly layers: ReadonlyMap<AdapterTarget, readonly WeightedLayer[]>
  /** Layers that name nothing in the model, by adapter. */
  readonly unmatched: ReadonlyMap<Adapter, readonly string[]>
}

/** What adapters call the text encoders, in their order. */
export const TEXT_TARGETS: readonly AdapterTarget[] = ['text_encoder', 'text_encoder_2']

/**
 * Finds what a set of adapters changes in a model.
 * @throws SwiftdError INVALID_WEIGHTS if an adapter is for another architecture
 */
export function matchAdapters({ unet, textEncoders }: AdaptableNetworks, uses: readonly AdapterUse[]): MatchedAdapters {
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
      const factor = target === 'unet' ? scale : textEncoderScale
      // A scale of 0 changes nothing, and nothing need be computed for it.
      if (factor === 0) continue
      const weighted = matched.map((each) => ({ ...each, path: adapter.path, scale: factor }))
      layers.set(target, [...(layers.get(target) ?? []), ...weighted])
    }
  }
  return { layers, unmatched }
}

/**
 * Refuses adapters of which only a part fits the model, since half of a style is another style.
 * @throws SwiftdError INVALID_WEIGHTS with the first layers that do not fit
 */
export function refusePartialMatch({ unmatched }: MatchedAdapters): void {
  for (const [{ path, layers }, names] of unmatched) {
    if (names.length === 0) continue
    const shown = names.slice(0, 3).join('", "')
    const counts = `${names.length} of its ${layers.length} layers ("${shown}"${names.length > 3 ? ', …' : ''})`
    const sentence = `${path} fits the model only in part: ${counts} are not in it; use the others with --lora-partial.`
    throw new SwiftdError('INVALID_WEIGHTS', sentence)
  }
}

/** The overlays of the text encoders, in their order. */
export async function textEncoderOverlays(
  graphs: GraphCache,
  { textEncoders }: AdaptableNetworks,
  { layers }: MatchedAdapters,
  signal?: AbortSignal,
): Promise<(Overlay | undefined)[]> {
  const overlays: (Overlay | undefined)[] = []
  try {
    for (const [index, encoder] of textEncoders.entries()) {
      overlays.push(await overlayOf(graphs, encoder, layers.get(TEXT_TARGETS[index]), signal))
    }
    return overlays
  } catch (error) {
    overlays.forEach((overlay) => overlay?.release())
    throw error
  }
}

/** The overlay of the UNet, if the adapters change it. */
export function unetOverlay(
  graphs: GraphCache,
  { unet }: AdaptableNetworks,
  { layers }: MatchedAdapters,
  signal?: AbortSignal,
): Promise<Overlay | undefined> {
  return overlayOf(graphs, unet, layers.get('unet'), signal)
}

function overlayOf(
  graphs: GraphCache,
  { weights, weightShapes }: Unet | TextEncoder,
  touched: readonly WeightedLayer[] | undefined,
  signal?: AbortSignal,
): Promise<Overlay | undefined> {
  if (!touched) return Promise.resolve(undefined)
  const order = weightShapes.map(({ name }) => name)
  return computeOverlay(graphs, weights, touched, order, signal)
}
