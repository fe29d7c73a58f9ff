import type { Graph } from '../graph/builder.js'
import { buildAttentionProbe, buildSumProbe, PROBE_NAMES } from '../graph/probes.js'
import { PORTABLE, type GraphTarget } from '../graph/target.js'
import { OrtError } from '../ort/api.js'
import type { Environment } from '../ort/environment.js'
import { runOnce, type Floats } from './run-once.js'

/**
 * What the environment's device can do of its target, found out by running small graphs: whether a device computes in half
 * precision shows only then, and the runtime's WebGPU attention gives wrong values without a word on devices whose
 * subgroups have fewer than eight lanes (seen with 1.30 on SwiftShader, which has four).
 */
export async function probeTarget(environment: Environment): Promise<GraphTarget> {
  const { target: wanted, provider } = environment
  if (!provider.hasOwnMemory) return wanted
  const target = (await computes(environment, wanted)) ? wanted : { ...wanted, precision: PORTABLE.precision }
  return (await attends(environment, target)) ? target : { ...target, attention: 'plain' }
}

async function computes(environment: Environment, target: GraphTarget): Promise<boolean> {
  const values = await tryRun(environment, buildSumProbe(target), [{ dims: [1], values: [1.5] }], [1])
  return values?.[0] === 3
}

/** Enough tokens that a runtime takes the same way as for images. */
const TOKENS = 64
const CHANNELS = 16
/** Half precision is off by a tenth of this; the wrong values seen were off by twenty times as much. */
const TOLERANCE = 0.02

async function attends(environment: Environment, target: GraphTarget): Promise<boolean> {
  const inputs = [1, 2, 3].map((seed) =>
    Float32Array.from({ length: TOKENS * CHANNELS }, (_, i) => 2 * Math.sin(i * i * seed)),
  )
  const graph = buildAttentionProbe(TOKENS, CHANNELS, target)
  const tensors = inputs.map((values) => ({ dims: [1, TOKENS, CHANNELS], values }))
  const values = await tryRun(environment, graph, tensors, [TOKENS, CHANNELS])
  const expected = attentionOf(inputs)
  return values?.every((value, index) => Math.abs(value - expected[index]) < TOLERANCE) ?? false
}

/** softmax(q k^T / √C) v in double precision. */
function attentionOf([query, key, value]: readonly Float32Array[]): Float32Array {
  const result = new Float32Array(TOKENS * CHANNELS)
  const row = (matrix: Float32Array, index: number) => matrix.subarray(index * CHANNELS, (index + 1) * CHANNELS)
  for (let token = 0; token < TOKENS; token++) {
    const q = row(query, token)
    const weights = Array.from({ length: TOKENS }, (_, other) => {
      return Math.exp(row(key, other).reduce((sum, each, i) => sum + each * q[i], 0) / Math.sqrt(CHANNELS))
    })
    const total = weights.reduce((sum, each) => sum + each, 0)
    for (let i = 0; i < CHANNELS; i++) {
      result[token * CHANNELS + i] = weights.reduce(
        (sum, each, other) => sum + (each / total) * row(value, other)[i],
        0,
      )
    }
  }
  return result
}

/** @returns the values of the output, or undefined where the device cannot run the graph */
async function tryRun(
  environment: Environment,
  graph: Graph,
  inputs: readonly Floats[],
  dims: readonly number[],
): Promise<Float32Array | undefined> {
  const named = Object.fromEntries(inputs.map((input, index) => [PROBE_NAMES.input(index), input]))
  try {
    return await runOnce(environment, graph, named, { name: PROBE_NAMES.output, dims })
  } catch (error) {
    if (error instanceof OrtError) return undefined
    throw error
  }
}
