import { buildResidualSum, RESIDUAL_NAMES } from '../graph/residual-sum.js'
import type { TrunkShapes } from '../graph/trunk-shapes.js'
import { UNET_NAMES as NAMES } from '../graph/unet.js'
import { allocateNative } from '../memory/native-memory.js'
import type { NativeHandle } from '../ort/native.js'
import type { NativeTensor } from '../tensor.js'
import type { GraphCache } from './graph-cache.js'
import { createBinder } from './network.js'

/** A ControlNet's residuals, shaped as the skips and the mid block, and the factor of each (the mid block's last). */
export interface ScaledResiduals {
  readonly skips: readonly NativeTensor[]
  readonly mid: NativeTensor
  readonly scales: readonly number[]
  /** Settles when the values are there, where they are computed beside the encoder. @default they are there */
  readonly ready?: Promise<unknown>
}

/** Adds one ControlNet's residuals to what a UNet encoder hands over; kept from step to step with what it has bound. */
export interface ResidualSum {
  /**
   * values + scales * residuals.
   * @param values the skips, then the mid block; further ones are left out
   * @returns the sums in the same order, valid until the next call; they belong to this object
   */
  add(
    values: readonly NativeHandle[],
    residuals: ScaledResiduals,
    signal?: AbortSignal,
  ): Promise<{ values: readonly NativeHandle[]; runtimeMs: number }>
  release(): void
}

/** Opens the sum for UNets whose encoders hand over these shapes. */
export async function openResidualSum(graphs: GraphCache, shapes: TrunkShapes): Promise<ResidualSum> {
  const { graph, session } = await graphs.open('residual-sum', shapes, (target) => buildResidualSum(shapes, target))
  const binding = session.createBinding()
  const bindResidual = createBinder(binding.bindInput)
  const count = shapes.skips.length + 1
  const factors = allocateNative(count * 4)
  binding.bindInput(RESIDUAL_NAMES.scales, { type: 'float32', dims: [count], address: factors.address })
  let bound: readonly NativeHandle[] = []
  let dims = ''
  let sums: NativeHandle[] = []

  const bindValues = (values: readonly NativeHandle[]): void => {
    if (values === bound) return
    bound = values
    shapes.skips.forEach((_, index) => binding.bindInputValue(NAMES.skip(index), values[index]))
    binding.bindInputValue(NAMES.mid, values[count - 1])
  }
  /** The runtime keeps its output buffers from run to run; only another shape needs new ones. */
  const prepareOutputs = (next: string): void => {
    if (next === dims) return
    sums.forEach((sum) => sum.release())
    sums = []
    dims = next
    binding.clearOutputs()
    graph.outputs.forEach((name) => binding.bindDeviceOutput(name))
  }
  return {
    async add(values, { skips, mid, scales }, signal) {
      factors.floats.set(scales)
      bindValues(values)
      skips.forEach((residual, index) => bindResidual(RESIDUAL_NAMES.residual(index), residual))
      bindResidual(RESIDUAL_NAMES.midResidual, mid)
      prepareOutputs(mid.dims.join())
      const { runtimeMs } = await binding.run(signal)
      if (sums.length === 0) sums = binding.takeOutputs()
      return { values: sums, runtimeMs }
    },
    release() {
      sums.forEach((sum) => sum.release())
      binding.release()
      factors.release()
    },
  }
}
