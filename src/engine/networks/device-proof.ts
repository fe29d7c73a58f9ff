import { SwiftdError } from '../errors.js'
import { buildProof, PROOF_NAMES } from '../graph/proof.js'
import { allocateNative } from '../memory/native-memory.js'
import type { GraphCache } from './graph-cache.js'

/** Whole numbers below 2^11, which float16 and TF32 hold exactly. */
const X = { dims: [2, 3], values: [1, 2, 3, -4, 5, -6] }
const W = { dims: [3, 2], values: [7, -8, 9, 10, -11, 12] }
const B = { dims: [2], values: [100, -50] }
const Y = { dims: [2, 2], values: [92, 0, 183, 0] }

/**
 * Computes a small graph on the device of a graph cache and compares the result, so that a device that opens but does not
 * compute is found out before a job has it.
 * @returns how long it took with compiling the graph, in milliseconds
 * @throws SwiftdError DEVICE_UNAVAILABLE for a wrong result; OrtError with what the runtime says
 */
export async function proveDevice(graphs: GraphCache): Promise<number> {
  const started = performance.now()
  const { session } = await graphs.open('proof', {}, buildProof)
  const binding = session.createBinding()
  const inputs = [X, W, B].map(({ values }) => filled(values))
  const y = allocateNative(4 * Y.values.length)
  try {
    ;[PROOF_NAMES.x, PROOF_NAMES.w, PROOF_NAMES.b].forEach((name, index) =>
      binding.bindInput(name, { type: 'float32', dims: [X, W, B][index].dims, address: inputs[index].address }),
    )
    binding.bindOutput(PROOF_NAMES.y, { type: 'float32', dims: Y.dims, address: y.address })
    await binding.run()
    const computed = [...y.floats]
    if (computed.join() !== Y.values.join()) {
      const sentence = `The device computes wrong results: ${computed.join(', ')} instead of ${Y.values.join(', ')}.`
      throw new SwiftdError('DEVICE_UNAVAILABLE', sentence)
    }
    return performance.now() - started
  } finally {
    binding.release()
    for (const memory of [...inputs, y]) memory.release()
  }
}

function filled(values: readonly number[]): ReturnType<typeof allocateNative> {
  const memory = allocateNative(4 * values.length)
  memory.floats.set(values)
  return memory
}
