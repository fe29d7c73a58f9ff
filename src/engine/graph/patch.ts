import { createGraphBuilder, type Graph } from './builder.js'

/** Input and output names of the patch graph. */
export const PATCH_NAMES = { weight: 'weight', up: 'up', down: 'down', factor: 'factor', patched: 'patched' } as const

/** A LoRA layer: weight (M, K) + factor * up (M, R) @ down (R, K). One graph for all layers of all models. */
export function buildPatch(): Graph {
  const g = createGraphBuilder('patch')
  const weight = g.input(PATCH_NAMES.weight, 'float32', ['M', 'K'])
  const change = g.node('MatMul', [
    g.node('Mul', [g.input(PATCH_NAMES.up, 'float32', ['M', 'R']), g.input(PATCH_NAMES.factor, 'float32', [1])]),
    g.input(PATCH_NAMES.down, 'float32', ['R', 'K']),
  ])
  g.output(PATCH_NAMES.patched, g.node('Add', [weight, change]), ['M', 'K'])
  return g.build()
}
