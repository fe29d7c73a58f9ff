import { fromDevice, fromHost, toDevice, toHost } from '../../src/engine/graph/borders.js'
import { createGraphBuilder, type Graph } from '../../src/engine/graph/builder.js'
import type { GraphTarget } from '../../src/engine/graph/target.js'
import type { GraphCache } from '../../src/engine/networks/graph-cache.js'
import type { NativeTensor } from '../../src/engine/tensor.js'

const NAMES = { given: (index: number) => `given.${index}`, taken: (index: number) => `taken.${index}` } as const

/** Copies of tensors of these dims, from the host to the device or back: float32 there, the target's precision here. */
function buildCopies(dims: readonly (readonly number[])[], to: 'host' | 'device', target: GraphTarget): Graph {
  const g = createGraphBuilder('copies', target)
  const [take, give] = to === 'host' ? [fromDevice, toHost] : [fromHost, toDevice]
  dims.forEach((each, index) => {
    give(g, NAMES.taken(index), g.node('Identity', [take(g, NAMES.given(index), each)]), each)
  })
  return g.build()
}

/**
 * Prepares the handing over of what some tensors of the host have from the device to them, as the last operators of a
 * ControlNet do it.
 * @returns what does it
 */
export async function openHandover(
  graphs: GraphCache,
  tensors: readonly NativeTensor[],
): Promise<() => Promise<{ runtimeMs: number }>> {
  const dims = tensors.map((tensor) => tensor.dims)
  const open = async (to: 'host' | 'device') => {
    const { session } = await graphs.open(`bench-copies-to-${to}`, dims, (target) => buildCopies(dims, to, target))
    return session.createBinding()
  }
  const [sending, taking] = [await open('device'), await open('host')]
  tensors.forEach((tensor, index) => {
    sending.bindInput(NAMES.given(index), tensor)
    sending.bindDeviceOutput(NAMES.taken(index))
  })
  await sending.run()
  sending.takeOutputs().forEach((value, index) => taking.bindInputValue(NAMES.given(index), value))
  tensors.forEach((tensor, index) => taking.bindOutput(NAMES.taken(index), tensor))
  return () => taking.run()
}
