import { fromDevice, toDevice, toValues } from './borders.js'
import { createGraphBuilder, type Graph, type GraphBuilder, type Value } from './builder.js'
import { PORTABLE, type GraphTarget } from './target.js'
import type { TrunkShapes } from './trunk-shapes.js'
import { UNET_NAMES } from './unet-names.js'

/** Input names of the residual sum besides the encoder's own. */
export const RESIDUAL_NAMES = {
  residual: (index: number) => `residual.${index}`,
  midResidual: 'residual.mid',
  scales: 'scales',
} as const

/**
 * Adds one ControlNet's residuals to what a UNet encoder hands over: skip.i + scales[i] * residual.i, and the mid block's
 * with the last scale. Several ControlNets are summed by running it once for each, as their residuals arrive.
 * Inputs: skip.i, mid, residual.i, residual.mid, scales (skips + 1). Outputs: skip.i, mid (as `out.…`).
 */
export function buildResidualSum({ skips, mid }: TrunkShapes, target: GraphTarget = PORTABLE): Graph {
  const g = createGraphBuilder('residual-sum', target)
  const scales = g.input(RESIDUAL_NAMES.scales, 'float32', [skips.length + 1])
  const each = elements(g, scales, skips.length + 1)
  const add = (name: string, residual: string, channels: number, scale: string): void => {
    const dims = ['N', channels, `h.${name}`, `w.${name}`]
    const scaled = toValues(g, g.node('Mul', [g.input(residual, 'float32', dims), scale]))
    toDevice(g, `out.${name}`, g.node('Add', [fromDevice(g, name, dims), scaled]), dims)
  }
  skips.forEach(({ channels }, index) => {
    add(UNET_NAMES.skip(index), RESIDUAL_NAMES.residual(index), channels, each[index])
  })
  add(UNET_NAMES.mid, RESIDUAL_NAMES.midResidual, mid.channels, each[skips.length])
  return g.build()
}

/** The elements of a vector, each as (1). */
function elements(g: GraphBuilder, vector: Value, count: number): Value[] {
  if (g.target.operators !== 'webgpu') {
    return g.nodes('Split', [vector], count, { attributes: { axis: 0, num_outputs: count } })
  }
  // Every output of an operator is a buffer of its shader there, of which there may be eight only.
  return Array.from({ length: count }, (_, index) =>
    g.node('Slice', [vector, g.ints([index]), g.ints([index + 1]), g.ints([0])]),
  )
}
