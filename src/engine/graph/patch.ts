import type { ElementType } from '../tensor.js'
import { convert } from './borders.js'
import { createGraphBuilder, type Graph, type GraphBuilder, type Value } from './builder.js'
import type { FloatType } from './target.js'

/** Input and output names of the patch graph. */
export const PATCH_NAMES = {
  weight: 'weight',
  up: (index: number) => `up.${index}`,
  down: (index: number) => `down.${index}`,
  factor: (index: number) => `factor.${index}`,
  patched: 'patched',
  check: 'check',
} as const

/** How the values of a LoRA layer are stored. */
export type LayerType = Extract<ElementType, 'float32' | 'float16' | 'bfloat16'>

/**
 * LoRA layers of one weight: weight (M, K) + Σ factor.i * up.i (M, Ri) @ down.i (Ri, K), for any number of LoRAs in one pass
 * over the weight. The sum is computed in float32 and rounded once to the type in which the weight is kept.
 * `check` (1) is 0, or not a number if a value of a layer is not finite.
 * @param types how each LoRA's values are stored; they are widened here, so that files are bound as they lie on disk
 * @param kept how the weight and the patched one are kept
 */
export function buildPatch(types: readonly LayerType[], kept: FloatType = 'float32'): Graph {
  const g = createGraphBuilder('patch')
  const weight = convert(g, g.input(PATCH_NAMES.weight, kept, ['M', 'K']), kept, 'float32')
  const layers = types.map((type, index) => {
    const up = widened(g, PATCH_NAMES.up(index), type, ['M', `R.${index}`])
    const down = widened(g, PATCH_NAMES.down(index), type, [`R.${index}`, 'K'])
    return { up: g.node('Mul', [up, g.input(PATCH_NAMES.factor(index), 'float32', [1])]), down, parts: [up, down] }
  })
  const up = join(
    g,
    layers.map((layer) => layer.up),
    1,
  )
  const down = join(
    g,
    layers.map((layer) => layer.down),
    0,
  )
  const patched = convert(g, g.node('Gemm', [up, down, weight]), 'float32', kept)
  g.output(PATCH_NAMES.patched, patched, ['M', 'K'], kept)
  const sums = layers.flatMap(({ parts }) => parts.map((part) => sumOfZeros(g, part)))
  g.output(
    PATCH_NAMES.check,
    sums.reduce((sum, each) => g.node('Add', [sum, each])),
    [1],
  )
  return g.build()
}

function widened(g: GraphBuilder, name: string, type: LayerType, dims: readonly string[]): Value {
  return convert(g, g.input(name, type, dims), type, 'float32')
}

function join(g: GraphBuilder, values: readonly Value[], axis: number): Value {
  return values.length === 1 ? values[0] : g.node('Concat', values, { attributes: { axis } })
}

/** Σ 0 * x: neither infinity nor what is not a number gives 0. */
function sumOfZeros(g: GraphBuilder, value: Value): Value {
  const zeros = g.node('Mul', [value, g.floats([0], [1], 'float32')])
  return g.node('Reshape', [g.node('ReduceSum', [zeros], { attributes: { keepdims: 0 } }), g.ints([1])])
}
