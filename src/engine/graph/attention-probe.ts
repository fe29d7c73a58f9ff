import { attention } from './attention.js'
import { fromHost, toHost } from './borders.js'
import { createGraphBuilder, type Graph, type Value } from './builder.js'
import { sequenceShape } from './layers.js'
import type { GraphTarget } from './target.js'

/** Names and sizes of the attention probe. */
export const ATTENTION_PROBE = {
  x: 'x',
  difference: 'difference',
  heads: 2,
  /** (N, S, C), the smallest that the runtime's WebGPU provider takes another kernel for: 32 queries, heads of 4. */
  dims: [1, 32, 8],
  /** More than what float16 rounds, for x of about -2..2; a kernel that is wrong is off by ten times as much. */
  tolerance: 0.01,
} as const

/**
 * How far a device's fused attention is from the plain one: the largest difference (1) over self-attention on x (N, S, C).
 * The runtime's WebGPU kernel (1.30) takes for granted that at least 8 lanes compute together. On a device with fewer of
 * them, as the software device SwiftShader with its 4, it gives wrong values without an error.
 */
export function buildAttentionProbe(target: GraphTarget): Graph {
  const { x, difference, heads, dims } = ATTENTION_PROBE
  const [, , channels] = dims
  const g = createGraphBuilder('attention-probe', target)
  const input = fromHost(g, x, ['N', 'S', channels])
  const sequence = sequenceShape(g, input, channels)
  const tokens = g.node('Reshape', [input, g.ints([-1, channels])])
  const attended = (form: GraphTarget['attention']): Value =>
    attention(g, [tokens, tokens, tokens], channels, { heads, sequence, form })
  const distance = g.node('Abs', [g.node('Sub', [attended('fused'), attended('plain')])])
  const largest = g.node('ReduceMax', [distance], { attributes: { keepdims: 0 } })
  toHost(g, difference, g.node('Reshape', [largest, g.ints([1])]), [1])
  return g.build()
}
