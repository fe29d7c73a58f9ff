import { buildSumProbe, PROBE_NAMES } from '../../src/engine/graph/probes.js'
import type { GraphCache } from '../../src/engine/networks/graph-cache.js'
import { allocateTensor } from '../../src/engine/pipeline/local-tensor.js'

/** Settles when the device has done everything that it was given before. */
export type Fence = () => Promise<void>

/**
 * A run may return while the device still copies or computes, where it leaves nothing for the host. The values of this one
 * are read by the host, and a device does what it is given in order.
 */
export async function openFence(graphs: GraphCache): Promise<Fence> {
  const { session } = await graphs.open('bench-fence', {}, buildSumProbe)
  const binding = session.createBinding()
  const [given, taken] = [allocateTensor([1]), allocateTensor([1])]
  binding.bindInput(PROBE_NAMES.input(0), given.native)
  binding.bindOutput(PROBE_NAMES.output, taken.native)
  return async () => {
    await binding.run()
  }
}
