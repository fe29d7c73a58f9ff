import type { GraphBuilder, Value } from './builder.js'
import { MICROSOFT } from './layers.js'
import type { GraphTarget } from './target.js'

export interface AttentionOptions {
  readonly heads: number
  /** Shape that turns flattened tokens into (N, S, C), see `sequenceShape`. */
  readonly sequence: Value
  /** The sequences' length, where each token sees only itself and earlier ones. @default all see all */
  readonly causalLength?: number
  /** @default the target's */
  readonly form?: GraphTarget['attention']
}

/** Multi-head attention over flattened queries, keys and values of equal width. Returns flattened tokens. */
export function attention(
  g: GraphBuilder,
  parts: readonly [Value, Value, Value],
  channels: number,
  { heads, sequence, causalLength, form = g.target.attention }: AttentionOptions,
): Value {
  const sequences = parts.map((flat) => g.node('Reshape', [flat, sequence]))
  const attended =
    form === 'plain'
      ? plainAttention(g, sequences, channels / heads, heads, causalLength)
      : g.node('MultiHeadAttention', sequences, {
          attributes: { num_heads: heads, ...(causalLength ? { unidirectional: 1 } : {}) },
          domain: MICROSOFT,
        })
  return g.node('Reshape', [attended, g.ints([-1, channels])])
}

/** Added to the score of a token that is not to be seen; what the fused operator adds, and within float16's range. */
const UNSEEN = -10_000

/** softmax(Q K^T / sqrt(size)) V, on (N, S, heads * size). It keeps all scores, which the fused operator does not. */
function plainAttention(
  g: GraphBuilder,
  sequences: readonly Value[],
  size: number,
  heads: number,
  causalLength?: number,
): Value {
  const [query, key, value] = sequences.map((each, part) => {
    const split = g.node('Reshape', [each, g.ints([0, 0, heads, size])])
    return g.node('Transpose', [split], { attributes: { perm: part === 1 ? [0, 2, 3, 1] : [0, 2, 1, 3] } })
  })
  // Scaled before the product, which could exceed float16's range otherwise.
  const scaled = g.node('Mul', [query, g.floats([1 / Math.sqrt(size)])])
  const scores = g.node('MatMul', [scaled, key])
  const seen = causalLength ? g.node('Add', [scores, causalMask(g, causalLength)]) : scores
  const attended = g.node('MatMul', [g.node('Softmax', [seen], { attributes: { axis: -1 } }), value])
  const joined = g.node('Transpose', [attended], { attributes: { perm: [0, 2, 1, 3] } })
  return g.node('Reshape', [joined, g.ints([0, 0, heads * size])])
}

function causalMask(g: GraphBuilder, length: number): Value {
  const mask = Array.from({ length: length * length }, (_, i) => (i % length > Math.floor(i / length) ? UNSEEN : 0))
  return g.floats(mask, [length, length])
}
