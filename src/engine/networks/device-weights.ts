import { buildUpload, UPLOAD_NAMES, type UploadType } from '../graph/upload.js'
import type { FloatType } from '../graph/target.js'
import { viewValue, type DeviceTensor, type ValueTensor } from '../ort/value.js'
import { viewMemory } from '../memory/libc.js'
import { allocateNative, type NativeMemory } from '../memory/native-memory.js'
import { elementCount, tensorBytes, type NativeTensor } from '../tensor.js'
import { widenInto } from '../weights/half.js'
import type { Weights } from '../weights/weights.js'
import { createBindingSet } from './binding-set.js'
import type { CompiledGraph, GraphCache } from './graph-cache.js'

/** A network's weights where its device reads them. */
export interface DeviceWeights {
  /** Where they come from, for messages. */
  readonly path: string
  find(name: string): DeviceTensor | undefined
  /** Frees what the device has of its own; bindings of these weights must be released before, the file is not closed. */
  release(): void
}

/**
 * Gives a device the weights that some graphs read: the host's pages as they are, but for vectors that have to be widened, or a
 * copy in the device's own memory, which is made once and in the type in which the graphs read them.
 */
export async function loadWeights(
  graphs: GraphCache,
  weights: Weights,
  compiled: readonly CompiledGraph[],
): Promise<DeviceWeights> {
  const { path } = weights
  if (!graphs.environment.provider.hasOwnMemory) return mapWeights(weights, compiled)
  const uploader = createUploader(graphs)
  const uploaded = new Map<string, UploadedTensor>()
  const release = (): void => {
    uploaded.forEach((each) => each.release())
    uploaded.clear()
  }
  try {
    for (const { graph } of compiled) {
      for (const { name, type } of graph.weights) {
        const tensor = uploaded.has(name) ? undefined : weights.find(name)
        // What is missing is told of when the weights are bound.
        if (tensor) uploaded.set(name, await uploader.upload(tensor, type))
      }
    }
  } catch (error) {
    release()
    throw error
  } finally {
    uploader.release()
  }
  return { path, find: (name) => uploaded.get(name), release }
}

/** Vectors of a float16 file are widened into memory: together they are a thousandth of it. */
function mapWeights(weights: Weights, compiled: readonly CompiledGraph[]): DeviceWeights {
  const widened = new Map<string, WidenedTensor>()
  for (const { name, type } of compiled.flatMap(({ graph }) => graph.weights)) {
    const tensor = type === 'float32' && !widened.has(name) ? weights.find(name) : undefined
    if (tensor?.type === 'float16') widened.set(name, widen(tensor))
  }
  return {
    path: weights.path,
    find: (name) => widened.get(name)?.tensor ?? weights.find(name),
    release() {
      widened.forEach(({ memory }) => memory.release())
      widened.clear()
    },
  }
}

interface WidenedTensor {
  readonly tensor: NativeTensor
  readonly memory: NativeMemory
}

function widen({ dims, type, address }: NativeTensor): WidenedTensor {
  const memory = allocateNative(tensorBytes('float32', dims))
  widenInto(memory.floats, new Uint8Array(viewMemory(address, tensorBytes(type, dims))), 'F16')
  return { tensor: { type: 'float32', dims, address: memory.address }, memory }
}

/** A tensor that lives in the device's memory until it is released. */
export interface UploadedTensor extends ValueTensor {
  release(): void
}

/** Copies tensors to the device one by one. */
export function createUploader(graphs: GraphCache) {
  const bindings = createBindingSet(graphs)
  const { memory } = graphs.environment.provider
  return {
    async upload(tensor: NativeTensor, to: FloatType): Promise<UploadedTensor> {
      const from = tensor.type as UploadType
      const binding = await bindings.of('upload', { from, to }, () => buildUpload(from, to))
      binding.bindInput(UPLOAD_NAMES.host, { ...tensor, dims: [elementCount(tensor.dims)] })
      binding.clearOutputs()
      binding.bindDeviceOutput(UPLOAD_NAMES.device)
      await binding.run()
      const [flat] = binding.takeOutputs()
      const view = viewValue({ type: to, dims: [], value: flat }, tensor.dims, memory)
      return {
        ...view,
        release() {
          view.value.release()
          flat.release()
        },
      }
    },
    release: () => bindings.release(),
  }
}
