import type { Graph } from '../../src/engine/graph/builder.js'
import { toHalves } from '../../src/engine/graph/half.js'
import { allocateNative, type NativeMemory } from '../../src/engine/memory/native-memory.js'
import type { Environment } from '../../src/engine/ort/environment.js'
import { openSession } from '../../src/engine/ort/session.js'
import { elementCount, tensorBytes, type ElementType, type NativeTensor } from '../../src/engine/tensor.js'
import { widenInto } from '../../src/engine/weights/half.js'
import { float32Values, openSafetensors } from '../../src/engine/weights/safetensors.js'

/** What a graph is given, or gives: values as numbers, whatever the type they are stored in. */
export interface GraphTensor {
  readonly dims: readonly number[]
  readonly values: ArrayLike<number>
  /** @default float32 */
  readonly type?: ElementType
}

/** The name, shape and type of an output. */
export type OutputShape = Omit<GraphTensor, 'values'>

/** Finds a weight's values by name. */
export type WeightValues = (name: string) => ArrayLike<number>

/**
 * Runs a graph once. Weights are rounded to the types that the graph reads, tensors to their own type.
 * @returns the outputs by name, as tensors that another graph can be given
 */
export async function runGraph(
  environment: Environment,
  graph: Graph,
  weights: WeightValues,
  inputs: Readonly<Record<string, GraphTensor>>,
  outputs: Readonly<Record<string, OutputShape>>,
): Promise<Record<string, GraphTensor>> {
  const session = await openSession(environment, graph.model)
  const binding = session.createBinding()
  const memories: NativeMemory[] = []
  const place = ({ type = 'float32', dims }: OutputShape): { native: NativeTensor; memory: NativeMemory } => {
    const memory = allocateNative(tensorBytes(type, dims))
    memories.push(memory)
    return { native: { type, dims, address: memory.address }, memory }
  }
  const give = (name: string, tensor: GraphTensor): void => {
    const { native, memory } = place(tensor)
    write(memory.buffer, native.type, tensor.values)
    binding.bindInput(name, native)
  }
  try {
    for (const { name, dims, type } of graph.weights) give(name, { type, dims, values: weights(name) })
    for (const [name, tensor] of Object.entries(inputs)) give(name, tensor)
    const placed = Object.entries(outputs).map(([name, shape]) => ({ name, ...place(shape) }))
    for (const { name, native } of placed) binding.bindOutput(name, native)
    await binding.run()
    return Object.fromEntries(
      placed.map(({ name, native: { type, dims }, memory }) => [
        name,
        { type, dims, values: read(memory.buffer, type) },
      ]),
    )
  } finally {
    binding.release()
    session.release()
    memories.forEach((memory) => memory.release())
  }
}

/** The weights of a float32 safetensors file. */
export function weightsOf(path: string): WeightValues {
  const file = openSafetensors(path)
  const tensors = [...file.tensors.values()].filter(({ dtype }) => dtype === 'F32')
  const values = new Map(tensors.map((tensor) => [tensor.name, float32Values(file, tensor).slice()]))
  file.close()
  return (name) => {
    const found = values.get(name)
    if (!found) throw new Error(`${path} has no ${name}`)
    return found
  }
}

/** Numbers that look random and are always the same, of about the spread of a normal distribution. */
export function noise(count: number, seed = 1): Float32Array {
  let state = seed
  return Float32Array.from({ length: count }, () => {
    state = (state * 48_271) % 2_147_483_647
    return (state / 2_147_483_647 - 0.5) * 3.4
  })
}

/** A tensor of such numbers. */
export function noiseTensor(dims: readonly number[], seed: number, type: ElementType = 'float32'): GraphTensor {
  return { dims, type, values: noise(elementCount(dims), seed) }
}

/** The values that float16 has nearest to these. */
export function roundedToHalf(values: ArrayLike<number>): Float32Array {
  return widened(toHalves(values))
}

/** The largest difference of two tensors, in parts of the largest value of the second one. */
export function relativeError(actual: GraphTensor, expected: GraphTensor): number {
  let [difference, largest] = [0, 0]
  for (let i = 0; i < expected.values.length; i++) {
    const error = Math.abs(actual.values[i] - expected.values[i])
    // What is not a number must not count as near.
    difference = Number.isFinite(error) ? Math.max(difference, error) : Infinity
    largest = Math.max(largest, Math.abs(expected.values[i]))
  }
  return difference / largest
}

function write(buffer: ArrayBuffer, type: ElementType, values: ArrayLike<number>): void {
  if (type === 'float32') new Float32Array(buffer).set(values)
  else if (type === 'float16') new Uint16Array(buffer).set(toHalves(values))
  else if (type === 'int64') new BigInt64Array(buffer).set(Array.from(values, BigInt))
  else throw new TypeError(`tests write no ${type}`)
}

function read(buffer: ArrayBuffer, type: ElementType): Float32Array {
  return type === 'float32' ? new Float32Array(buffer).slice() : widened(new Uint16Array(buffer))
}

function widened(halves: Uint16Array): Float32Array {
  const values = new Float32Array(halves.length)
  widenInto(values, new Uint8Array(halves.buffer, halves.byteOffset, halves.byteLength), 'F16')
  return values
}
