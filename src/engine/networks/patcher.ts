import { SwiftdError } from '../errors.js'
import { buildPatch, PATCH_NAMES as NAMES, type LayerType } from '../graph/patch.js'
import { allocateNative } from '../memory/native-memory.js'
import type { FloatType } from '../graph/target.js'
import type { Binding } from '../ort/binding.js'
import type { Provider } from '../ort/provider.js'
import { isValue, viewValue, type DeviceTensor } from '../ort/value.js'
import { elementCount, tensorBytes, type NativeTensor } from '../tensor.js'
import type { MatchedLayer } from '../weights/adapter-match.js'
import { refuseDamaged } from '../weights/find-nan.js'
import { createBindingSet } from './binding-set.js'
import type { GraphCache } from './graph-cache.js'

/** A layer and how strongly it is applied. */
export interface WeightedLayer extends MatchedLayer {
  /** The LoRA's file, for messages. */
  readonly path: string
  /** The adapter's weight for this target. */
  readonly scale: number
}

/** A weight with LoRA layers added, where the device reads it. */
export interface PatchedWeight {
  readonly tensor: DeviceTensor
  readonly byteLength: number
  readonly runtimeMs: number
  release(): void
}

/** Runs the patch graph for one weight after the other. */
export interface Patcher {
  /** @throws SwiftdError INVALID_WEIGHTS if a layer has values that are not finite; CANCELLED */
  patch(base: DeviceTensor, layers: readonly WeightedLayer[], signal?: AbortSignal): Promise<PatchedWeight>
  release(): void
}

export function createPatcher(graphs: GraphCache): Patcher {
  const bindings = createBindingSet(graphs)
  const { memory } = graphs.environment.provider
  const scratch = allocateNative(4096)

  function bindInputs(binding: Binding, base: DeviceTensor, layers: readonly WeightedLayer[]): void {
    const [rows, columns] = matrixDims(base.dims)
    if (isValue(base)) {
      const view = viewValue(base, [rows, columns], memory)
      binding.bindInput(NAMES.weight, view)
      view.value.release()
    } else binding.bindInput(NAMES.weight, { ...base, dims: [rows, columns] })
    layers.forEach(({ layer: { up, down, alpha, rank }, scale }, index) => {
      binding.bindInput(NAMES.up(index), { ...up, dims: [rows, rank] })
      binding.bindInput(NAMES.down(index), { ...down, dims: [rank, columns] })
      scratch.floats[index + 1] = (scale * alpha) / rank
      const address = scratch.address + BigInt(4 * (index + 1))
      binding.bindInput(NAMES.factor(index), { type: 'float32', dims: [1], address })
    })
  }

  return {
    async patch(base, layers, signal) {
      const types = layers.map(({ layer }) => layer.up.type as LayerType)
      const kept = base.type as FloatType
      const binding = await bindings.of('patch', { types, kept }, () => buildPatch(types, kept))
      bindInputs(binding, base, layers)
      binding.clearOutputs()
      binding.bindOutput(NAMES.check, { type: 'float32', dims: [1], address: scratch.address })
      const output = isValue(base) ? deviceOutput(binding, base, memory) : hostOutput(binding, base)
      try {
        const { runtimeMs } = await binding.runBeside(signal)
        if (scratch.floats[0] !== 0) await refuseLayers(layers, signal)
        return { ...output.take(), runtimeMs }
      } catch (error) {
        output.release()
        throw error
      }
    },
    release() {
      bindings.release()
      scratch.release()
    },
  }
}

/** Where a patched weight goes; what was taken is its taker's to release. */
interface PatchOutput {
  take(): Omit<PatchedWeight, 'runtimeMs'>
  release(): void
}

function hostOutput(binding: Binding, { type, dims }: NativeTensor): PatchOutput {
  const [byteLength, [rows, columns]] = [tensorBytes(type, dims), matrixDims(dims)]
  const memory = allocateNative(byteLength)
  const tensor: NativeTensor = { type, dims, address: memory.address }
  binding.bindOutput(NAMES.patched, { ...tensor, dims: [rows, columns] })
  const release = (): void => memory.release()
  return { take: () => ({ tensor, byteLength, release }), release }
}

/** The runtime allocates in the device's memory, so that no patched weight ever crosses. */
function deviceOutput(binding: Binding, { type, dims }: DeviceTensor, memory: Provider['memory']): PatchOutput {
  binding.bindDeviceOutput(NAMES.patched)
  return {
    take() {
      const [check, patched] = binding.takeOutputs()
      check.release()
      const tensor = viewValue({ type, dims, value: patched }, dims, memory)
      const release = (): void => [tensor.value, patched].forEach((each) => each.release())
      return { tensor, byteLength: tensorBytes(type, dims), release }
    },
    release: () => binding.clearOutputs(),
  }
}

/** Names the tensor of the LoRA that is to blame, by the files; its layer where they changed meanwhile. */
async function refuseLayers(layers: readonly WeightedLayer[], signal?: AbortSignal): Promise<never> {
  const paths = layers.map(({ path }) => path)
  await refuseDamaged(paths, signal)
  const files = [...new Set(paths)].join(' or ')
  const sentence = `${files} has values that are no numbers in the layer "${layers[0].layer.module}"; it is damaged, download it again.`
  throw new SwiftdError('INVALID_WEIGHTS', sentence)
}

function matrixDims(dims: readonly number[]): [rows: number, columns: number] {
  return [dims[0], elementCount(dims) / dims[0]]
}
