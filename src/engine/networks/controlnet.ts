import { buildControlNet, buildControlNetConditioning, trunkShapes, UNET_NAMES as NAMES } from '../graph/unet.js'
import { allocateNative } from '../memory/native-memory.js'
import type { NativeHandle } from '../ort/native.js'
import type { NativeTensor } from '../tensor.js'
import type { ControlNetConfig } from '../weights/config.js'
import type { Weights } from '../weights/weights.js'
import type { GraphCache } from './graph-cache.js'
import { bindWeights, createBinder } from './network.js'
import { bindTrunkInputs, type TrunkInputs } from './unet.js'

/** A ControlNet with the weights of one file. Not reentrant: one pass at a time. */
export interface ControlNet {
  readonly config: ControlNetConfig
  /**
   * Embeds a control picture, (N, 3, H, W) in 0..1, once for all steps.
   * @returns the conditioning (N, C, H/8, W/8), which the caller releases
   */
  embed(controlImage: NativeTensor, signal?: AbortSignal): Promise<{ conditioning: NativeHandle; runtimeMs: number }>
  /**
   * One pass. @returns the residuals, unscaled: those of the skips, then the mid block's; the caller releases them
   */
  run(
    inputs: TrunkInputs,
    conditioning: NativeHandle,
    signal?: AbortSignal,
  ): Promise<{ residuals: NativeHandle[]; runtimeMs: number }>
  release(): void
}

/** Binds a file's weights to the ControlNet graphs of its architecture. */
export async function openControlNet(
  graphs: GraphCache,
  config: ControlNetConfig,
  weights: Weights,
): Promise<ControlNet> {
  const [trunkGraph, conditioningGraph] = await Promise.all([
    graphs.open('controlnet', config, () => buildControlNet(config)),
    graphs.open('controlnet-conditioning', config, () => buildControlNetConditioning(config)),
  ])
  const trunk = bindWeights(trunkGraph, weights)
  const embedding = bindWeights(conditioningGraph, weights)
  const bindInput = createBinder(trunk.bindInput)
  const timestep = allocateNative(4)
  const outputs = [...trunkShapes(config).skips.map((_, index) => NAMES.skip(index)), NAMES.mid]
  return {
    config,
    async embed(controlImage, signal) {
      embedding.bindInput(NAMES.controlImage, controlImage)
      embedding.clearOutputs()
      embedding.bindRuntimeOutput(NAMES.conditioning)
      const { runtimeMs } = await embedding.run(signal)
      const [conditioning] = embedding.takeOutputs()
      return { conditioning, runtimeMs }
    },
    async run(inputs, conditioning, signal) {
      timestep.floats[0] = inputs.timestep
      bindTrunkInputs(bindInput, inputs, timestep.address)
      trunk.bindInputValue(NAMES.conditioning, conditioning)
      trunk.clearOutputs()
      outputs.forEach((name) => trunk.bindRuntimeOutput(name))
      const { runtimeMs } = await trunk.run(signal)
      return { residuals: trunk.takeOutputs(), runtimeMs }
    },
    release() {
      trunk.release()
      embedding.release()
      timestep.release()
    },
  }
}
