import { SwiftdError } from '../errors.js'
import { buildPatch, PATCH_NAMES as NAMES, type LayerType } from '../graph/patch.js'
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
  /** How long the runtime took to compute it, in milliseconds. */
  readonly runtimeMs: number
  release(): void
}

/** A layer and how strongly it is applied. */
export interface WeightedLayer extends MatchedLayer {
  /** The LoRA's file, for messages. */
  readonly path: string
  /** The adapter's weight for this target. */
  readonly scale: number
}

/**
 * Computes W + Σ scale · alpha / rank · up @ down for every weight that the layers touch, on the device, into new memory:
 * one pass over each weight for all of its layers, beside whatever else the device computes.
 * @param order the network's weights in the order in which it reads them; they are patched in that order
 * @throws SwiftdError INVALID_WEIGHTS if a layer has values that are not finite; CANCELLED
 */
export async function computeOverlay(
  graphs: GraphCache,
  weights: Weights,
  layers: readonly WeightedLayer[],
  order: readonly string[],
  signal?: AbortSignal,
): Promise<Overlay> {
  const byWeight = new Map(order.map((name) => [name, [] as WeightedLayer[]]))
  for (const layer of layers) byWeight.get(layer.weight)?.push(layer)
  const memories: NativeMemory[] = []
  const tensors = new Map<string, NativeTensor>()
  const patch = createPatcher(graphs)
  let runtimeMs = 0
  try {
    for (const [name, touching] of byWeight) {
      const base = touching.length > 0 && weights.find(name)
      if (!base) continue
      const memory = allocateNative(tensorBytes('float32', base.dims))
      memories.push(memory)
      const patched: NativeTensor = { type: 'float32', dims: base.dims, address: memory.address }
      runtimeMs += await patch.run(base, touching, patched, signal)
      tensors.set(name, patched)
    }
    return {
      tensors,
      runtimeMs,
      byteLength: memories.reduce((sum, { byteLength }) => sum + byteLength, 0),
      release: () => memories.splice(0).forEach((memory) => memory.release()),
    }
  } catch (error) {
    memories.forEach((memory) => memory.release())
    throw error
  } finally {
    patch.release()
  }
}

/** Runs the patch graph for one weight after the other. */
function createPatcher(graphs: GraphCache) {
  const bindings = new Map<string, Binding>()
  const scratch = allocateNative(4096)

  async function bindingOf(types: readonly LayerType[]): Promise<Binding> {
    const key = types.join()
    const binding =
      bindings.get(key) ?? (await graphs.open('patch', { types }, () => buildPatch(types))).session.createBinding()
    bindings.set(key, binding)
    return binding
  }

  return {
    async run(
      base: NativeTensor,
      layers: readonly WeightedLayer[],
      patched: NativeTensor,
      signal?: AbortSignal,
    ): Promise<number> {
      const [rows, columns] = matrixDims(base.dims)
      const binding = await bindingOf(layers.map(({ layer }) => layer.up.type as LayerType))
      binding.bindInput(NAMES.weight, { ...base, dims: [rows, columns] })
      layers.forEach(({ layer: { up, down, alpha, rank }, scale }, index) => {
        binding.bindInput(NAMES.up(index), { ...up, dims: [rows, rank] })
        binding.bindInput(NAMES.down(index), { ...down, dims: [rank, columns] })
        scratch.floats[index + 1] = (scale * alpha) / rank
        const address = scratch.address + BigInt(4 * (index + 1))
        binding.bindInput(NAMES.factor(index), { type: 'float32', dims: [1], address })
      })
      binding.clearOutputs()
      binding.bindOutput(NAMES.patched, { ...patched, dims: [rows, columns] })
      binding.bindOutput(NAMES.check, { type: 'float32', dims: [1], address: scratch.address })
      const { runtimeMs } = await binding.runBeside(signal)
      if (scratch.floats[0] !== 0) throw notFinite(layers)
      return runtimeMs
    },
    release() {
      bindings.forEach((binding) => binding.release())
      scratch.release()
    },
  }
}

function notFinite(layers: readonly WeightedLayer[]): SwiftdError {
  const files = [...new Set(layers.map(({ path }) => path))].join(' or ')
  const sentence = `${files} has values that are no numbers in the layer "${layers[0].layer.module}"; it is damaged, download it again.`
  return new SwiftdError('INVALID_WEIGHTS', sentence)
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
