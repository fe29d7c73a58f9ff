import type { ElementType } from '../tensor.js'
import { convert } from './borders.js'
import { createGraphBuilder, type Graph } from './builder.js'
import type { FloatType } from './target.js'

/** Input and output names of the upload graph. */
export const UPLOAD_NAMES = { host: 'host', device: 'device' } as const

/** What a device's weights are made from; the runtime's GPU providers have no kernels for bfloat16. */
export type UploadType = Extract<ElementType, 'float32' | 'float16'>

/** Elements of the host (N) as the device keeps them (N): copied by the runtime, and rounded on the device. */
export function buildUpload(from: UploadType, to: FloatType): Graph {
  const g = createGraphBuilder('upload')
  const host = g.input(UPLOAD_NAMES.host, from, ['N'])
  const device = from === to ? g.node('Identity', [host]) : convert(g, host, from, to)
  g.output(UPLOAD_NAMES.device, device, ['N'], to)
  return g.build()
}
