import { createGraphBuilder, type Graph } from './builder.js'

/** Input and output names of the proof's graph. */
export const PROOF_NAMES = { x: 'x', w: 'w', b: 'b', y: 'y' } as const

/**
 * y (M, N) = relu(x (M, K) @ w (K, N) + b (N)): a product, a broadcast and an activation, as every network has them. With
 * small whole numbers every provider's result is exact.
 */
export function buildProof(): Graph {
  const g = createGraphBuilder('proof')
  const product = g.node('MatMul', [
    g.input(PROOF_NAMES.x, 'float32', ['M', 'K']),
    g.input(PROOF_NAMES.w, 'float32', ['K', 'N']),
  ])
  const sum = g.node('Add', [product, g.input(PROOF_NAMES.b, 'float32', ['N'])])
  g.output(PROOF_NAMES.y, g.node('Relu', [sum]), ['M', 'N'])
  return g.build()
}
