import type { GraphBuilder, Value } from './builder.js'
import { MICROSOFT } from './layers.js'

export interface AttentionOptions {
  readonly heads: number
  /** Shape that turns flattened tokens into (N, S, C), see `sequenceShape`. */
  readonly sequence: Value
  /** How many tokens there are, if each one sees only itself and earlier ones. @default all see all */
  readonly causal?: number
}

/** Multi-head attention over flattened queries, keys and values of equal width. Returns flattened tokens. */
export function attention(
  g: GraphBuilder,
  [query, key, value]: readonly [Value, Value, Value],
  channels: number,
  options: AttentionOptions,
): Value {
  const sequences = [query, key, value].map((flat) => g.node('Reshape', [flat, options.sequence]))
  const attended = isFused(g, options)
    ? fusedAttention(g, sequences, options)
    : plainAttention(g, sequences, channels, options)
  return g.node('Reshape', [attended, g.ints([-1, channels])])
}

function isFused({ target }: GraphBuilder, { causal }: AttentionOptions): boolean {
  // WebGPU's operator was seen to be right about it only where it leaves its flash kernel, which 77 tokens take (runtime 1.30).
  if (target.operators === 'webgpu' && causal !== undefined) return false
  return target.attention === 'fused'
}

function fusedAttention(g: GraphBuilder, sequences: readonly Value[], { heads, causal }: AttentionOptions): Value {
  return g.node('MultiHeadAttention', sequences, {
    attributes: { num_heads: heads, ...(causal !== undefined ? { unidirectional: 1 } : {}) },
    domain: MICROSOFT,
  })
}

/** Added to the scores of tokens that must not be seen: their exponential is 0, and half precision can hold it. */
const UNSEEN = -10_000

/** softmax(q k^T / √d + mask) v, written out; the scores of all pairs of tokens are in memory at once. */
function plainAttention(
  g: GraphBuilder,
  sequences: readonly Value[],
  channels: number,
  { heads, causal }: AttentionOptions,
): Value {
  const depth = channels / heads
  const [query, key, value] = sequences.map((each) => g.node('Reshape', [each, g.ints([0, 0, heads, depth])]))
  const transposed = (x: Value, perm: number[]): Value => g.node('Transpose', [x], { attributes: { perm } })
  // Queries are scaled, and not the scores, which half precision might not hold otherwise.
  const scaled = g.node('Mul', [transposed(query, [0, 2, 1, 3]), g.floats([1 / Math.sqrt(depth)])])
  const products = g.node('MatMul', [scaled, transposed(key, [0, 2, 3, 1])])
  const scores = causal === undefined ? products : g.node('Add', [products, causalMask(g, causal)])
  const weights = g.node('Softmax', [scores], { attributes: { axis: -1 } })
  const attended = g.node('MatMul', [weights, transposed(value, [0, 2, 1, 3])])
  return transposed(attended, [0, 2, 1, 3])
}

function causalMask(g: GraphBuilder, tokens: number): Value {
  const values = Array.from({ length: tokens * tokens }, (_, index) =>
    index % tokens > Math.floor(index / tokens) ? UNSEEN : 0,
  )
  return g.floats(values, [tokens, tokens])
}
