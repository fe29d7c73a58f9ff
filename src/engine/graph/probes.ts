import { createGraphBuilder, type Graph } from './builder.js'
import { attention } from './attention.js'
import { fromHost, toHost } from './borders.js'
import { sequenceShape } from './layers.js'
import type { GraphTarget } from './target.js'

/** Input and output names of the probes. */
export const PROBE_NAMES = { input: (index: number) => `input.${index}`, output: 'output' } as const

/** 2 * input.0 (N), in the target's precision. */
export function buildSumProbe(target: GraphTarget): Graph {
  const g = createGraphBuilder('sum-probe', target)
  const value = fromHost(g, PROBE_NAMES.input(0), ['N'])
  toHost(g, PROBE_NAMES.output, g.node('Add', [value, value]), ['N'])
  return g.build()
}

/** The matrix product of input.0 (M, K) and input.1 (K, N). */
export function buildProductProbe([rows, inner, columns]: readonly number[], target: GraphTarget): Graph {
  const g = createGraphBuilder('product-probe', target)
  const left = fromHost(g, PROBE_NAMES.input(0), [rows, inner])
  const right = fromHost(g, PROBE_NAMES.input(1), [inner, columns])
  toHost(g, PROBE_NAMES.output, g.node('MatMul', [left, right]), [rows, columns])
  return g.build()
}

/** Self-attention with one head; inputs are query, key and value (1, tokens, channels). */
export function buildAttentionProbe(tokens: number, channels: number, target: GraphTarget): Graph {
  const g = createGraphBuilder('attention-probe', target)
  const inputs = [0, 1, 2].map((index) => fromHost(g, PROBE_NAMES.input(index), [1, tokens, channels]))
  const [query, key, value] = inputs.map((input) => g.node('Reshape', [input, g.ints([-1, channels])]))
  const sequence = sequenceShape(g, inputs[0], channels)
  const attended = attention(g, [query, key, value], channels, { heads: 1, sequence })
  toHost(g, PROBE_NAMES.output, attended, [tokens, channels])
  return g.build()
}
