import { trunkShapes } from '../graph/trunk-shapes.js'
import { buildUnetDecoder, buildUnetEncoder, UNET_NAMES as NAMES } from '../graph/unet.js'
import { allocateNative } from '../memory/native-memory.js'
import type { NativeHandle } from '../ort/native.js'
import type { NativeTensor } from '../tensor.js'
import type { UnetConfig } from '../weights/config.js'
import type { Weights, WeightShape } from '../weights/weights.js'
import type { GraphCache } from './graph-cache.js'
import { bindWeights, createBinder, sameDims, weightNames } from './network.js'
import { createOverlayBinder, type Overlay } from './overlay.js'
import { openResidualSum, type ResidualSum } from './residual-sum.js'

/** What one pass of a UNet or a ControlNet reads; B is the batch, with both halves of the guidance. */
export interface TrunkInputs {
  /** (B, C, h, w) scaled latents */
  readonly sample: NativeTensor
  readonly timestep: number
  /** (B, S, D) */
  readonly encoderHiddenStates: NativeTensor
  /** (B, P), SDXL only */
  readonly textEmbeds?: NativeTensor
  /** (B, 6), SDXL only */
  readonly timeIds?: NativeTensor
}

/** A ControlNet's residuals, shaped as the skips and the mid block, and the factor of each (the mid block's last). */
export interface ScaledResiduals {
  readonly skips: readonly NativeTensor[]
  readonly mid: NativeTensor
  readonly scales: readonly number[]
  /** Settles when the values are there, where they are computed beside the encoder. @default they are there */
  readonly ready?: Promise<unknown>
}

/** What the encoder hands to the decoder. Valid until the next `encode`. */
export interface EncodedStep {
  readonly skips: readonly NativeHandle[]
  readonly mid: NativeHandle
}

/** A UNet with the weights of one file. Not reentrant: one pass at a time. */
export interface Unet {
  readonly config: UnetConfig
  /** Runs the down blocks and the mid block. */
  encode(inputs: TrunkInputs, signal?: AbortSignal): Promise<EncodedStep & { runtimeMs: number }>
  /**
   * Adds residuals and runs the up blocks on what the last `encode` gave. Each is added as soon as it and those before it
   * are there: a sum in the order of arrival would differ in its last bits from run to run.
   * @param noise (B, 4, h, w) receives the prediction
   * @returns times inside the runtime and waiting for residuals, in milliseconds
   */
  decode(
    inputs: TrunkInputs,
    noise: NativeTensor,
    residuals?: readonly ScaledResiduals[],
    signal?: AbortSignal,
  ): Promise<{ runtimeMs: number; waitMs: number }>
  /** The base weights, which overlays are made of. */
  readonly weights: Weights
  /** All weights that the two graphs read. */
  readonly weightShapes: readonly WeightShape[]
  /** Makes an overlay effective for the passes that follow; undefined leaves only the base weights. */
  useOverlay(overlay: Overlay | undefined): void
  /** Binds the base again if this overlay is bound, so that it may be released. */
  leaveOverlay(overlay: Overlay): void
  release(): void
}

/** Binds a file's weights to the two UNet graphs of its architecture. */
export async function openUnet(graphs: GraphCache, config: UnetConfig, weights: Weights): Promise<Unet> {
  const [encoderGraph, decoderGraph] = await Promise.all([
    graphs.open('unet-encoder', config, () => buildUnetEncoder(config)),
    graphs.open('unet-decoder', config, () => buildUnetDecoder(config)),
  ])
  const encoder = bindWeights(encoderGraph, weights)
  const decoder = bindWeights(decoderGraph, weights)
  const skipNames = trunkShapes(config).skips.map((_, index) => NAMES.skip(index))
  const encoderOutputs = [...skipNames, NAMES.mid, NAMES.activatedTime]
  const bindEncoderInput = createBinder(encoder.bindInput)
  const bindDecoderInput = createBinder(decoder.bindInput)
  const bindDecoderOutput = createBinder((name, tensor) => {
    decoder.clearOutputs()
    decoder.bindOutput(name, tensor)
  })
  const timestep = allocateNative(4)
  let encoded: NativeHandle[] = []
  let encodedDims: readonly number[] = []
  /** One for each ControlNet of a pass: what they bound and allocated serves the next step again. */
  const sums: ResidualSum[] = []
  let handedOver: readonly NativeHandle[] = []

  /** The runtime keeps its output buffers from run to run; only another shape needs new ones. */
  const prepareOutputs = (dims: readonly number[]): void => {
    if (sameDims(dims, encodedDims)) return
    releaseAll(encoded)
    encoded = []
    encodedDims = []
    handedOver = []
    encoder.clearOutputs()
    encoderOutputs.forEach((name) => encoder.bindRuntimeOutput(name))
  }
  const handOver = (values: readonly NativeHandle[]): void => {
    if (values === handedOver) return
    handedOver = values
    ;[...skipNames, NAMES.mid].forEach((name, index) => decoder.bindInputValue(name, values[index]))
  }

  const graphsOfBoth = [encoderGraph.graph, decoderGraph.graph]
  return {
    config,
    weights,
    weightShapes: graphsOfBoth.flatMap((graph) => graph.weights),
    ...createOverlayBinder([encoder, decoder], graphsOfBoth.map(weightNames), weights),
    async encode(inputs, signal) {
      const { dims } = inputs.sample
      prepareOutputs(dims)
      timestep.floats[0] = inputs.timestep
      bindTrunkInputs(bindEncoderInput, inputs, timestep.address)
      const { runtimeMs } = await encoder.run(signal)
      if (!sameDims(dims, encodedDims)) {
        encoded = encoder.takeOutputs()
        encodedDims = dims
        decoder.bindInputValue(NAMES.activatedTime, encoded[encoded.length - 1])
      }
      return { skips: encoded.slice(0, -2), mid: encoded[encoded.length - 2], runtimeMs }
    },
    async decode(inputs, noise, residuals = [], signal) {
      bindDecoderInput(NAMES.encoderHiddenStates, inputs.encoderHiddenStates)
      bindDecoderOutput(NAMES.noise, noise)
      let [runtimeMs, waitMs] = [0, 0]
      let values: readonly NativeHandle[] = encoded
      for (const [index, each] of residuals.entries()) {
        const began = performance.now()
        await each.ready
        waitMs += performance.now() - began
        const sum = (sums[index] ??= await openResidualSum(graphs, trunkShapes(config)))
        const added = await sum.add(values, each, signal)
        values = added.values
        runtimeMs += added.runtimeMs
      }
      handOver(values)
      return { runtimeMs: runtimeMs + (await decoder.run(signal)).runtimeMs, waitMs }
    },
    release() {
      releaseAll(encoded)
      sums.forEach((sum) => sum.release())
      encoder.release()
      decoder.release()
      timestep.release()
    },
  }
}

const ONE = [1]

/** Binds what a UNet encoder and a ControlNet have in common. */
export function bindTrunkInputs(
  bind: (name: string, tensor: NativeTensor) => void,
  inputs: TrunkInputs,
  timestepAddress: bigint,
): void {
  bind(NAMES.sample, inputs.sample)
  bind(NAMES.timestep, { type: 'float32', dims: ONE, address: timestepAddress })
  bind(NAMES.encoderHiddenStates, inputs.encoderHiddenStates)
  if (inputs.textEmbeds) bind(NAMES.textEmbeds, inputs.textEmbeds)
  if (inputs.timeIds) bind(NAMES.timeIds, inputs.timeIds)
}

function releaseAll(values: readonly NativeHandle[]): void {
  values.forEach((value) => value.release())
}
