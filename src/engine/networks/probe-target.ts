import type { Graph } from '../graph/builder.js'
import { buildAttentionProbe, buildProductProbe, buildSumProbe, PROBE_NAMES } from '../graph/probes.js'
import type { GraphTarget, Precision } from '../graph/target.js'
import { OrtError } from '../ort/api.js'
import type { Environment } from '../ort/environment.js'
import type { DeviceTarget } from './network-target.js'
import { runOnce, type Floats } from './run-once.js'

/** What the environment's device can do of its target, found out by running small graphs: much of it shows only then. */
export async function probeTarget(environment: Environment): Promise<DeviceTarget> {
  const { target: wanted, provider } = environment
  if (!provider.hasOwnMemory) return hostTarget(wanted)
  const target = { ...wanted, precision: await probePrecision(environment) }
  return (await attends(environment, target)) ? target : { ...target, attention: 'plain' }
}

/** The host has no kernels that compute in float16. */
function hostTarget(wanted: GraphTarget): DeviceTarget {
  const precision = wanted.precision === 'float16' ? 'float32' : wanted.precision
  return { ...wanted, precision, mapsWeights: true }
}

/**
 * float32 where the device does not compute in half precision, and mixed where it sums badly in it, unless half precision was asked
 * for: products of half-precision numbers are summed in half precision by the runtime's WebGPU kernels (1.30), and in float32 by
 * those of CUDA, as diffusers has them.
 */
async function probePrecision(environment: Environment): Promise<Precision> {
  const { target, hasGivenPrecision } = environment
  if (target.precision === 'float32') return 'float32'
  const half: GraphTarget = { ...target, precision: 'float16' }
  if (!(await computes(environment, half))) return 'float32'
  if (hasGivenPrecision || target.precision === 'mixed') return target.precision
  return (await sums(environment, half)) ? 'float16' : 'mixed'
}

async function computes(environment: Environment, target: GraphTarget): Promise<boolean> {
  const values = await tryRun(environment, buildSumProbe(target), [{ dims: [1], values: [1.5] }], [1])
  return values?.[0] === 3
}

/** As many products in a sum as in a convolution of 228 channels. */
const PRODUCT = [64, 2048, 64] as const
/**
 * Of the largest value of the product. The result's own rounding is at most 5e-4; sums in half precision were seen to be off by
 * 1e-2.
 */
const SUM_TOLERANCE = 2e-3

async function sums(environment: Environment, target: GraphTarget): Promise<boolean> {
  const [rows, inner, columns] = PRODUCT
  // Half precision holds these values exactly.
  const matrix = (length: number, seed: number) =>
    Float32Array.from({ length }, (_, i) => Math.round(31 * Math.sin(i * i * seed)) / 32)
  const [left, right] = [matrix(rows * inner, 1), matrix(inner * columns, 2)]
  const inputs = [
    { dims: [rows, inner], values: left },
    { dims: [inner, columns], values: right },
  ]
  const values = await tryRun(environment, buildProductProbe(PRODUCT, target), inputs, [rows, columns])
  const expected = productOf(left, right)
  const tolerance = SUM_TOLERANCE * expected.reduce((largest, each) => Math.max(largest, Math.abs(each)), 0)
  return values?.every((value, index) => Math.abs(value - expected[index]) < tolerance) ?? false
}

/** The matrix product of `PRODUCT`'s shapes in double precision. */
function productOf(left: Float32Array, right: Float32Array): Float64Array {
  const [rows, inner, columns] = PRODUCT
  return Float64Array.from({ length: rows * columns }, (_, index) => {
    const [row, column] = [Math.floor(index / columns), index % columns]
    let sum = 0
    for (let k = 0; k < inner; k++) sum += left[row * inner + k] * right[k * columns + column]
    return sum
  })
}

/** Enough tokens that a runtime takes the same way as for images. */
const TOKENS = 64
const CHANNELS = 16
/** Half precision is off by a tenth of this; the wrong values seen were off by twenty times as much. */
const ATTENTION_TOLERANCE = 0.02

/**
 * Whether the runtime's attention is right. WebGPU's (1.30) gives wrong values without a word on Vulkan: its kernel does not begin at
 * zero for each block of keys.
 */
async function attends(environment: Environment, target: GraphTarget): Promise<boolean> {
  const inputs = [1, 2, 3].map((seed) =>
    Float32Array.from({ length: TOKENS * CHANNELS }, (_, i) => 2 * Math.sin(i * i * seed)),
  )
  const graph = buildAttentionProbe(TOKENS, CHANNELS, target)
  const tensors = inputs.map((values) => ({ dims: [1, TOKENS, CHANNELS], values }))
  const values = await tryRun(environment, graph, tensors, [TOKENS, CHANNELS])
  const expected = attentionOf(inputs)
  return values?.every((value, index) => Math.abs(value - expected[index]) < ATTENTION_TOLERANCE) ?? false
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
