import { SwiftdError } from '../errors.js'
import { buildProof, PROOF_NAMES as NAMES } from '../graph/proof.js'
import type { Environment } from '../ort/environment.js'
import { runOnce } from './run-once.js'

/** Whole numbers below 2^11, which float16 and TF32 hold exactly. */
const INPUTS = {
  [NAMES.x]: { dims: [2, 3], values: [1, 2, 3, -4, 5, -6] },
  [NAMES.w]: { dims: [3, 2], values: [7, -8, 9, 10, -11, 12] },
  [NAMES.b]: { dims: [2], values: [100, -50] },
}
const EXPECTED = [92, 0, 183, 0]

/**
 * Computes a small graph on a device and compares the result, so that a device that opens but does not compute is found out
 * before a job has it.
 * @returns how long it took with compiling the graph, in milliseconds
 * @throws SwiftdError DEVICE_UNAVAILABLE for a wrong result; OrtError with what the runtime says
 */
export async function proveDevice(environment: Environment): Promise<number> {
  const started = performance.now()
  const computed = await runOnce(environment, buildProof(), INPUTS, { name: NAMES.y, dims: [2, 2] })
  if (computed.join() !== EXPECTED.join()) {
    const sentence = `The device computes wrong results: ${computed.join(', ')} instead of ${EXPECTED.join(', ')}.`
    throw new SwiftdError('DEVICE_UNAVAILABLE', sentence)
  }
  return performance.now() - started
}
