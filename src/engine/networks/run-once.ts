import type { Graph } from '../graph/builder.js'
import { allocateNative } from '../memory/native-memory.js'
import type { Environment } from '../ort/environment.js'
import { openSession } from '../ort/session.js'
import { elementCount } from '../tensor.js'

/** Values of a float32 tensor, row by row. */
export interface Floats {
  readonly dims: readonly number[]
  readonly values: ArrayLike<number>
}

/**
 * Compiles a small graph without weights, runs it once and forgets it.
 * @param inputs by name
 * @returns the values of one output
 * @throws OrtError with what the runtime says
 */
export async function runOnce(
  environment: Environment,
  graph: Graph,
  inputs: Readonly<Record<string, Floats>>,
  output: { readonly name: string; readonly dims: readonly number[] },
): Promise<Float32Array> {
  const session = await openSession(environment, graph.model, graph)
  const binding = session.createBinding()
  const given = Object.entries(inputs).map(([name, { dims, values }]) => {
    const memory = allocateNative(4 * values.length)
    memory.floats.set(values)
    binding.bindInput(name, { type: 'float32', dims, address: memory.address })
    return memory
  })
  const result = allocateNative(4 * elementCount(output.dims))
  try {
    binding.bindOutput(output.name, { type: 'float32', dims: output.dims, address: result.address })
    await binding.run()
    return result.floats.slice()
  } finally {
    binding.release()
    session.release()
    for (const memory of [...given, result]) memory.release()
  }
}
