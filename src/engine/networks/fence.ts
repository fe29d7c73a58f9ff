import { buildSumProbe, PROBE_NAMES } from '../graph/probes.js'
import { allocateNative } from '../memory/native-memory.js'
import type { GraphCache } from './graph-cache.js'

/** Settles when the device has done everything that it was given before. */
export interface Fence {
  (): Promise<void>
  release(): void
}

/**
 * A run may return while the device still copies or computes, where it leaves nothing for the host; WebGPU's do. The value of this
 * one is read by the host, and a device does what it is given in order. It is for whoever measures: a job that waited would have
 * the device wait for its next work.
 */
export async function openFence(graphs: GraphCache): Promise<Fence> {
  const { session } = await graphs.open('fence', {}, buildSumProbe)
  const binding = session.createBinding()
  const [given, taken] = [allocateNative(4), allocateNative(4)]
  given.floats[0] = 1
  const scalar = { type: 'float32', dims: [1] } as const
  binding.bindInput(PROBE_NAMES.input(0), { ...scalar, address: given.address })
  binding.bindOutput(PROBE_NAMES.output, { ...scalar, address: taken.address })
  const wait = async (): Promise<void> => {
    await binding.run()
  }
  return Object.assign(wait, {
    release() {
      binding.release()
      for (const memory of [given, taken]) memory.release()
    },
  })
}
