import type { GraphBuilder, Value } from './builder.js'
import { MICROSOFT } from './layers.js'

export interface AttentionOptions {
  readonly heads: number
  /** Shape that turns flattened tokens into (N, S, C), see `sequenceShape`. */
  readonly sequence: Value
  /** How many tokens there are, if each one sees only itself and earlier ones. @default all see all */
  readonly causal?: number
  /** Whether there may be as many tokens as an image has latents, on either side. @default false */
  readonly wide?: boolean
}

/**
 * How many heads of a wide attention are computed at once where it is written out: the scores of an image's tokens for each other
 * take 134 MB a head for a batch of two 512x512 images in float32.
 */
export const HEADS_AT_ONCE = 2

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

/** softmax(q k^T / √d + mask) v, written out; the scores of all pairs of tokens are in memory, of some heads at once. */
function plainAttention(
  g: GraphBuilder,
  sequences: readonly Value[],
  channels: number,
  { heads, causal, wide = false }: AttentionOptions,
): Value {
  const depth = channels / heads
  const [query, key, value] = sequences.map((each) => g.node('Reshape', [each, g.ints([0, 0, heads, depth])]))
  const transposed = (x: Value, perm: number[]): Value => g.node('Transpose', [x], { attributes: { perm } })
  // Queries are scaled, and not the scores, which half precision might not hold otherwise.
  const scaled = g.node('Mul', [transposed(query, [0, 2, 1, 3]), g.floats([1 / Math.sqrt(depth)])])
  const parts = [scaled, transposed(key, [0, 2, 3, 1]), transposed(value, [0, 2, 1, 3])]
  const attend = ([q, k, v]: readonly Value[]): Value => {
    const products = g.node('MatMul', [q, k])
    const scores = causal === undefined ? products : g.node('Add', [products, causalMask(g, causal)])
    return g.node('MatMul', [g.node('Softmax', [scores], { attributes: { axis: -1 } }), v])
  }
  if (!wide || heads <= HEADS_AT_ONCE) return transposed(attend(parts), [0, 2, 1, 3])
  const groups = Array.from({ length: Math.ceil(heads / HEADS_AT_ONCE) }, (_, group) => {
    const bounds = [group * HEADS_AT_ONCE, Math.min(heads, (group + 1) * HEADS_AT_ONCE), 1].map((each) =>
      g.ints([each]),
    )
    return attend(parts.map((part) => g.node('Slice', [part, ...bounds])))
  })
  return transposed(g.node('Concat', groups, { attributes: { axis: 1 } }), [0, 2, 1, 3])
}

function causalMask(g: GraphBuilder, tokens: number): Value {
  const values = Array.from({ length: tokens * tokens }, (_, index) =>
    index % tokens > Math.floor(index / tokens) ? UNSEEN : 0,
  )
  return g.floats(values, [tokens, tokens])
}
