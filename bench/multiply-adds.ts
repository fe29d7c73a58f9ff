/** How much a network computes, from its graph's shapes alone. */
import type { Graph } from '../src/engine/graph/builder.js'
import { PORTABLE } from '../src/engine/graph/target.js'
import { buildUnetDecoder, buildUnetEncoder } from '../src/engine/graph/unet.js'
import type { UnetConfig } from '../src/engine/weights/config.js'
import { inferShapes, type ShapedNode } from './graph-shapes.js'

/** Multiply-adds by operator. What has fewer than one for each element (norms, sums, activations) does not count. */
export type MultiplyAdds = Readonly<Record<CountedOperator, number>>

type CountedOperator = keyof typeof COUNTERS

const product = (dims: readonly number[]): number => dims.reduce((all, dim) => all * dim, 1)

const COUNTERS = {
  /** Each output reads a kernel of all input channels. */
  Conv: ({ inputs: [, weight], outputs: [y] }: ShapedNode) => product(y) * product(weight.slice(1)),
  Gemm: ({ inputs: [a], outputs: [y] }: ShapedNode) => product(y) * a[1],
  MatMul: ({ inputs: [a], outputs: [y] }: ShapedNode) => product(y) * a[a.length - 1],
  /** Scores of each query (N, S, C) for each key (N, T, C), and the sums of values (N, T, D) by them. */
  MultiHeadAttention: ({ inputs: [[rows, tokens, width], [, keys], [, , values]] }: ShapedNode) =>
    rows * tokens * keys * (width + values),
} as const

/**
 * Counts the multiply-adds of one run of a portable graph.
 * @param sizes of the graph's symbolic dims
 * @throws Error as `inferShapes`
 */
export function countMultiplyAdds(graph: Graph, sizes: Readonly<Record<string, number>>): MultiplyAdds {
  const counts: Record<CountedOperator, number> = { Conv: 0, Gemm: 0, MatMul: 0, MultiHeadAttention: 0 }
  for (const node of inferShapes(graph, sizes)) {
    if (isCounted(node.operator)) counts[node.operator] += COUNTERS[node.operator](node)
  }
  return counts
}

const isCounted = (operator: string): operator is CountedOperator => Object.hasOwn(COUNTERS, operator)

/** A pass of a UNet. */
export interface PassSizes {
  /** With both halves of the guidance. */
  readonly rows: number
  /** In latents. */
  readonly height: number
  readonly width: number
  /** Tokens of the prompt. */
  readonly tokens: number
}

/** The multiply-adds of one pass of a whole UNet: what the network asks for, whatever a provider's graph makes of it. */
export function unetMultiplyAdds(config: UnetConfig, { rows, height, width, tokens }: PassSizes): number {
  const sizes: Record<string, number> = { N: rows, S: tokens, h: height, w: width }
  let [high, wide] = [height, width]
  for (let halvings = 0; halvings < config.block_out_channels.length; halvings++) {
    sizes[`h/${2 ** halvings}`] = high
    sizes[`w/${2 ** halvings}`] = wide
    ;[high, wide] = [Math.ceil(high / 2), Math.ceil(wide / 2)]
  }
  const graphs = [buildUnetEncoder(config, PORTABLE), buildUnetDecoder(config, PORTABLE)]
  return graphs.reduce((sum, graph) => sum + totalOf(countMultiplyAdds(graph, sizes)), 0)
}

function totalOf(counts: MultiplyAdds): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0)
}
