import { trunkShapes, type TrunkShapes } from '../graph/trunk-shapes.js'
import { buildControlNet, buildControlNetConditioning, UNET_NAMES as NAMES } from '../graph/unet.js'
import { createExclusive } from '../exclusive.js'
import { allocateNative } from '../memory/native-memory.js'
import type { NativeHandle } from '../ort/native.js'
import type { NativeTensor } from '../tensor.js'
import type { ControlNetConfig } from '../weights/config.js'
import type { GraphCache } from './graph-cache.js'
import { bindNetwork, createOutputBinder } from './network.js'
import type { NetworkFile } from './network-files.js'
import { createTrunkBinder, type TrunkInputs } from './unet.js'

/** A ControlNet with the weights of one file. Calls take turns, so several jobs may share it. */
export interface ControlNet {
  readonly config: ControlNetConfig
  /** Shapes of its residuals. */
  readonly shapes: TrunkShapes
  /**
   * Embeds a control picture, (N, 3, H, W) in 0..1, once for all steps.
   * @returns the conditioning (N, C, H/8, W/8), which the caller releases
   */
  embed(controlImage: NativeTensor, signal?: AbortSignal): Promise<{ conditioning: NativeHandle; runtimeMs: number }>
  /**
   * One pass.
   * @param residuals receive the residuals, unscaled: those of the skips, then the mid block's (see `residualDims`)
   */
  run(
    inputs: TrunkInputs,
    conditioning: NativeHandle,
    residuals: readonly NativeTensor[],
    signal?: AbortSignal,
  ): Promise<{ runtimeMs: number }>
  release(): void
}

/** Loads a file's weights and binds them to the ControlNet graphs of its architecture. */
export async function openControlNet(
  graphs: GraphCache,
  config: ControlNetConfig,
  { weights, target }: NetworkFile,
): Promise<ControlNet> {
  const [trunkGraph, conditioningGraph] = await Promise.all([
    graphs.open('controlnet', config, () => buildControlNet(config, target), target),
    graphs.open('controlnet-conditioning', config, () => buildControlNetConditioning(config, target), target),
  ])
  const bound = await bindNetwork(graphs, weights, [trunkGraph, conditioningGraph])
  const [trunk, embedding] = bound.bindings
  const bindInputs = createTrunkBinder(trunk)
  const timestep = allocateNative(4)
  const shapes = trunkShapes(config)
  const outputs = [...shapes.skips.map((_, index) => NAMES.skip(index)), NAMES.mid]
  const bindOutputs = createOutputBinder(trunk, outputs)
  const turn = createExclusive()
  let shown: NativeHandle | undefined

  async function embed(controlImage: NativeTensor, signal?: AbortSignal) {
    embedding.bindInput(NAMES.controlImage, controlImage)
    embedding.clearOutputs()
    embedding.bindDeviceOutput(NAMES.conditioning)
    const { runtimeMs } = await embedding.run(signal)
    const [conditioning] = embedding.takeOutputs()
    return { conditioning, runtimeMs }
  }

  async function run(
    inputs: TrunkInputs,
    conditioning: NativeHandle,
    residuals: readonly NativeTensor[],
    signal?: AbortSignal,
  ) {
    timestep.floats[0] = inputs.timestep
    bindInputs(inputs, timestep.address)
    if (shown !== conditioning) trunk.bindInputValue(NAMES.conditioning, conditioning)
    shown = conditioning
    bindOutputs(residuals)
    return trunk.run(signal)
  }

  return {
    config,
    shapes,
    embed: (controlImage, signal) => turn(() => embed(controlImage, signal)),
    run: (inputs, conditioning, residuals, signal) => turn(() => run(inputs, conditioning, residuals, signal)),
    release() {
      bound.release()
      timestep.release()
    },
  }
}
