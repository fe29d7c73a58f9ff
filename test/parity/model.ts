import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BaseModel } from '../../src/engine/networks/base-model.js'
import { openModelHost, type ModelHost } from '../../src/engine/networks/model-host.js'
import type { NativeHandle } from '../../src/engine/ort/native.js'
import { valueDims, valueFloats } from '../../src/engine/ort/value.js'
import { allocateTensor, nativeOf } from '../../src/engine/pipeline/local-tensor.js'
import type { Tensor as StageTensor } from '../../src/engine/pipeline/stages.js'
import { openTokenizer, type ClipTokenizer } from '../../src/engine/text/tokenizer.js'
import type { NativeTensor } from '../../src/engine/tensor.js'
import { openCheckpoint } from '../../src/engine/weights/checkpoint.js'
import type { ParityContext } from './context.js'
import type { Tensor } from './measure.js'

export const CACHE_DIRECTORY = join(tmpdir(), 'swiftd-parity-cache')

/** The runtime, shared by the cases of a family. */
export function modelHost(context: ParityContext): Promise<ModelHost> {
  return context.resource(
    'model host',
    () => openModelHost({ threads: 2, cacheDirectory: CACHE_DIRECTORY, ...context.device }),
    (host) => host.release(),
  )
}

/** The family's model, in the weights' variant that the case asks for. */
export async function familyModel(context: ParityContext): Promise<BaseModel> {
  const { model } = context.family.about
  const variant = typeof context.case.variant === 'string' ? context.case.variant : undefined
  const host = await modelHost(context)
  return host.load(openCheckpoint(join(context.family.dir, String(model)), { variant }))
}

/** The tokenizers of a model, one for each text encoder. */
export function modelTokenizers(context: ParityContext, model: BaseModel): Promise<ClipTokenizer[]> {
  const directories = model.checkpoint.textEncoders.map((encoder) => encoder.tokenizerDirectory)
  return context.resource(
    `tokenizers ${directories.join()}`,
    () => Promise.all(directories.map((directory) => openTokenizer(directory))),
    () => undefined,
  )
}

/** Runs with golden tensors copied into native memory, which is freed afterwards. */
export async function withNative<T>(
  task: (native: (tensor: Tensor) => NativeTensor, allocate: (dims: readonly number[]) => StageTensor) => Promise<T>,
): Promise<T> {
  const held: StageTensor[] = []
  const allocate = (dims: readonly number[]): StageTensor => {
    const tensor = allocateTensor(dims)
    held.push(tensor)
    return tensor
  }
  const native = (tensor: Tensor): NativeTensor => {
    const copy = allocate(tensor.shape)
    copy.data.set(tensor.data)
    return nativeOf(copy)
  }
  try {
    return await task(native, allocate)
  } finally {
    held.forEach((tensor) => tensor.release())
  }
}

/** A copy of a value that the runtime holds. */
export function copyValue(value: NativeHandle): Tensor {
  return { shape: valueDims(value), data: valueFloats(value).slice() }
}

/** A copy of a stage tensor. */
export function copyTensor(tensor: StageTensor): Tensor {
  return { shape: tensor.dims, data: tensor.data.slice() }
}
