import type { Binding } from '../ort/binding.js'
import type { DeviceTensor } from '../ort/value.js'
import type { DeviceWeights } from './device-weights.js'
import type { GraphCache } from './graph-cache.js'
import { createPatcher, type PatchedWeight, type WeightedLayer } from './patcher.js'

/**
 * Weights that stand in for some of a network's own: effective weights = base ∪ overlay. The base stays untouched, so
 * leaving the overlay is binding the base again, exact to the bit.
 */
export interface Overlay {
  readonly tensors: ReadonlyMap<string, DeviceTensor>
  readonly byteLength: number
  /** How long the runtime took to compute it, in milliseconds. */
  readonly runtimeMs: number
  release(): void
}

/**
 * Computes W + Σ scale · alpha / rank · up @ down for every weight that the layers touch, on the device, into new memory:
 * one pass over each weight for all of its layers, beside whatever else the device computes.
 * @param order the network's weights in the order in which it reads them; they are patched in that order
 * @throws SwiftdError INVALID_WEIGHTS if a layer has values that are not finite; CANCELLED
 */
export async function computeOverlay(
  graphs: GraphCache,
  weights: DeviceWeights,
  layers: readonly WeightedLayer[],
  order: readonly string[],
  signal?: AbortSignal,
): Promise<Overlay> {
  const byWeight = new Map(order.map((name) => [name, [] as WeightedLayer[]]))
  for (const layer of layers) byWeight.get(layer.weight)?.push(layer)
  const patched = new Map<string, PatchedWeight>()
  const release = (): void => {
    patched.forEach((each) => each.release())
    patched.clear()
  }
  const patcher = createPatcher(graphs)
  let [runtimeMs, byteLength] = [0, 0]
  try {
    for (const [name, touching] of byWeight) {
      const base = touching.length > 0 && weights.find(name)
      if (!base) continue
      const weight = await patcher.patch(base, touching, signal)
      patched.set(name, weight)
      runtimeMs += weight.runtimeMs
      byteLength += weight.byteLength
    }
    return {
      tensors: new Map([...patched].map(([name, { tensor }]) => [name, tensor])),
      runtimeMs,
      byteLength,
      release,
    }
  } catch (error) {
    release()
    throw error
  } finally {
    patcher.release()
  }
}

/** Binds overlays to a network: what one touched before and the next one does not is bound to the base again. */
export function createOverlayBinder(
  bindings: readonly Binding[],
  names: readonly ReadonlySet<string>[],
  weights: Pick<DeviceWeights, 'find'>,
) {
  let bound: Overlay | undefined
  const bind = (name: string, tensor: DeviceTensor | undefined): void => {
    if (tensor) bindings.forEach((binding, index) => names[index].has(name) && binding.bindInput(name, tensor))
  }
  const useOverlay = (overlay: Overlay | undefined): void => {
    if (overlay === bound) return
    for (const name of bound?.tensors.keys() ?? []) if (!overlay?.tensors.has(name)) bind(name, weights.find(name))
    for (const [name, tensor] of overlay?.tensors ?? []) bind(name, tensor)
    bound = overlay
  }
  return {
    useOverlay,
    leaveOverlay(overlay: Overlay): void {
      if (bound === overlay) useOverlay(undefined)
    },
  }
}
