import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import type { ParameterShapes } from '../../bench/parameter-shapes.js'
import type { NameMapping } from '../../src/engine/weights/weights.js'

/** Shapes under the names that a file has for them: parts that a file keeps in one tensor are put together. */
export function storedShapes(shapes: ParameterShapes, names: NameMapping): ParameterShapes {
  const stored: ParameterShapes = new Map()
  for (const [name, shape] of shapes) {
    const { name: target, part, squeeze, transpose } = names(name)
    if (part) stored.set(target, [shape[0] * part.count, ...shape.slice(1)])
    else if (transpose) stored.set(target, [...shape].reverse())
    else stored.set(target, squeeze && shape.length === 2 ? [...shape, 1, 1] : shape)
  }
  return stored
}

interface SparseOptions {
  readonly metadata?: Readonly<Record<string, string>>
  /** Values of float16 tensors that are not zero. */
  readonly values?: Readonly<Record<string, Uint16Array>>
}

/** A float16 .safetensors file of real size that takes no space: its tensors are holes, so they are zero. */
export function writeSparse(path: string, shapes: ParameterShapes, { metadata = {}, values = {} }: SparseOptions = {}) {
  const header: Record<string, unknown> = { __metadata__: metadata }
  const offsets = new Map<string, number>()
  let bytes = 0
  for (const [name, shape] of shapes) {
    const size = 2 * shape.reduce((product, dim) => product * dim, 1)
    header[name] = { dtype: 'F16', shape, data_offsets: [bytes, bytes + size] }
    offsets.set(name, bytes)
    bytes += size
  }
  const json = Buffer.from(JSON.stringify(header))
  const start = Buffer.alloc(8)
  start.writeBigUInt64LE(BigInt(json.length))
  const file = openSync(path, 'w')
  writeSync(file, Buffer.concat([start, json]))
  ftruncateSync(file, 8 + json.length + bytes)
  for (const [name, value] of Object.entries(values)) {
    const data = new Uint8Array(value.buffer)
    writeSync(file, data, 0, data.length, 8 + json.length + (offsets.get(name) ?? 0))
  }
  closeSync(file)
}
