import { buildPatch, PATCH_NAMES as NAMES } from '../graph/patch.js'
import { allocateNative, type NativeMemory } from '../memory/native-memory.js'
import type { Binding } from '../ort/session.js'
import { elementCount, tensorBytes, type NativeTensor } from '../tensor.js'
import type { MatchedLayer } from '../weights/adapter-match.js'
import type { Weights } from '../weights/weights.js'
import type { GraphCache } from './graph-cache.js'

/**
 * Weights that stand in for some of a network's own: effective weights = base ∪ overlay. The base stays untouched, so
 * leaving the overlay is binding the base again, exact to the bit.
 */
export interface Overlay {
  readonly tensors: ReadonlyMap<string, NativeTensor>
  readonly byteLength: number
  release(): void
}

/** A layer and how strongly it is applied. */
export interface WeightedLayer extends MatchedLayer {
  /** The adapter's weight for this target. */
  readonly scale: number
}

/**
 * Computes W + Σ scale · alpha / rank · up @ down for every weight that the layers touch, on the device, into new memory.
 * Layers of the same weight are added one after the other, in their order.
 */
export async function computeOverlay(
  graphs: GraphCache,
  weights: Weights,
  layers: readonly WeightedLayer[],
  signal?: AbortSignal,
): Promise<Overlay> {
  const { session } = await graphs.open('patch', {}, buildPatch)
  const binding = session.createBinding()
  const factor = allocateNative(4)
  const memories = new Map<string, NativeMemory>()
  const tensors = new Map<string, NativeTensor>()
  try {
    for (const { layer, weight, scale } of layers) {
      const base = tensors.get(weight) ?? weights.find(weight)
      if (!base) throw new Error(`The weights of ${weights.path} have no ${weight}.`)
      factor.floats[0] = (scale * layer.alpha) / layer.rank
      bindPatch(binding, base, layer, factor)
      const memory = allocateNative(tensorBytes('float32', base.dims))
      const [rows, columns] = matrixDims(base.dims)
      binding.clearOutputs()
      binding.bindOutput(NAMES.patched, { type: 'float32', dims: [rows, columns], address: memory.address })
      const before = memories.get(weight)
      memories.set(weight, memory)
      await binding.run(signal)
      before?.release()
      tensors.set(weight, { type: 'float32', dims: base.dims, address: memory.address })
    }
    const all = [...memories.values()]
    return {
      tensors,
      byteLength: all.reduce((sum, { byteLength }) => sum + byteLength, 0),
      release: () => all.splice(0).forEach((memory) => memory.release()),
    }
  } catch (error) {
    memories.forEach((memory) => memory.release())
    throw error
  } finally {
    binding.release()
    factor.release()
  }
}

function bindPatch(
  binding: Binding,
  base: NativeTensor,
  { up, down, rank }: WeightedLayer['layer'],
  factor: NativeMemory,
): void {
  const [rows, columns] = matrixDims(base.dims)
  binding.bindInput(NAMES.weight, { ...base, dims: [rows, columns] })
  binding.bindInput(NAMES.up, { ...up, dims: [rows, rank] })
  binding.bindInput(NAMES.down, { ...down, dims: [rank, columns] })
  binding.bindInput(NAMES.factor, { type: 'float32', dims: [1], address: factor.address })
}

function matrixDims(dims: readonly number[]): [rows: number, columns: number] {
  return [dims[0], elementCount(dims) / dims[0]]
}

/** Binds overlays to a network: what one touched before and the next one does not is bound to the base again. */
export function createOverlayBinder(
  bindings: readonly Binding[],
  names: readonly ReadonlySet<string>[],
  weights: Weights,
) {
  let bound: Overlay | undefined
  const bind = (name: string, tensor: NativeTensor | undefined): void => {
    if (tensor) bindings.forEach((binding, index) => names[index].has(name) && binding.bindInput(name, tensor))
  }
  return (overlay: Overlay | undefined): void => {
    if (overlay === bound) return
    for (const name of bound?.tensors.keys() ?? []) if (!overlay?.tensors.has(name)) bind(name, weights.find(name))
    for (const [name, tensor] of overlay?.tensors ?? []) bind(name, tensor)
    bound = overlay
  }
}
