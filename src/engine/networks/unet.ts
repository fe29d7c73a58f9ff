import type { GraphWeight } from '../graph/builder.js'
import { trunkShapes } from '../graph/trunk-shapes.js'
import { buildUnetDecoder, buildUnetEncoder, UNET_NAMES as NAMES } from '../graph/unet.js'
import { allocateNative } from '../memory/native-memory.js'
import type { Binding } from '../ort/binding.js'
import type { NativeHandle } from '../ort/native.js'
import type { NativeTensor } from '../tensor.js'
import type { UnetConfig } from '../weights/config.js'
import type { DeviceWeights } from './device-weights.js'
import type { GraphCache } from './graph-cache.js'
import { bindNetwork, createBinder, sameDims, weightNames } from './network.js'
import type { NetworkFile } from './network-files.js'
import { createOverlayBinder, type Overlay } from './overlay.js'
import { openResidualSum, type ResidualSum, type ScaledResiduals } from './residual-sum.js'

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
  readonly weights: DeviceWeights
  /** All weights that the two graphs read. */
  readonly weightShapes: readonly GraphWeight[]
  /** Makes an overlay effective for the passes that follow; undefined leaves only the base weights. */
  useOverlay(overlay: Overlay | undefined): void
  /** Binds the base again if this overlay is bound, so that it may be released. */
  leaveOverlay(overlay: Overlay): void
  release(): void
}

/** Loads a file's weights and binds them to the two UNet graphs of its architecture. */
export async function openUnet(graphs: GraphCache, config: UnetConfig, file: NetworkFile): Promise<Unet> {
  const { target } = file
  const [encoderGraph, decoderGraph] = await Promise.all([
    graphs.open('unet-encoder', config, () => buildUnetEncoder(config, target), target),
    graphs.open('unet-decoder', config, () => buildUnetDecoder(config, target), target),
  ])
  const bound = await bindNetwork(graphs, file.weights, [encoderGraph, decoderGraph])
  const { bindings, weights } = bound
  const [encoder, decoder] = bindings
  const skipNames = trunkShapes(config).skips.map((_, index) => NAMES.skip(index))
  const encoderOutputs = [...skipNames, NAMES.mid, NAMES.activatedTime]
  const bindEncoderInput = createTrunkBinder(encoder)
  const bindPrompt = createBinder(decoder.bindSteadyInput)
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
    encoderOutputs.forEach((name) => encoder.bindDeviceOutput(name))
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
    ...createOverlayBinder(bindings, graphsOfBoth.map(weightNames), weights),
    async encode(inputs, signal) {
      const { dims } = inputs.sample
      prepareOutputs(dims)
      timestep.floats[0] = inputs.timestep
      bindEncoderInput(inputs, timestep.address)
      const { runtimeMs } = await encoder.run(signal)
      if (!sameDims(dims, encodedDims)) {
        encoded = encoder.takeOutputs()
        encodedDims = dims
        decoder.bindInputValue(NAMES.activatedTime, encoded[encoded.length - 1])
      }
      return { skips: encoded.slice(0, -2), mid: encoded[encoded.length - 2], runtimeMs }
    },
    async decode(inputs, noise, residuals = [], signal) {
      bindPrompt(NAMES.encoderHiddenStates, inputs.encoderHiddenStates)
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
      bound.release()
      timestep.release()
    },
  }
}

const ONE = [1]

/** Binds what a UNet encoder and a ControlNet have in common. */
export function createTrunkBinder({
  bindInput,
  bindSteadyInput,
}: Binding): (inputs: TrunkInputs, timestepAddress: bigint) => void {
  const bind = createBinder(bindInput)
  const bindSteady = createBinder(bindSteadyInput)
  return (inputs, timestepAddress) => {
    bind(NAMES.sample, inputs.sample)
    bind(NAMES.timestep, { type: 'float32', dims: ONE, address: timestepAddress })
    bindSteady(NAMES.encoderHiddenStates, inputs.encoderHiddenStates)
    if (inputs.textEmbeds) bindSteady(NAMES.textEmbeds, inputs.textEmbeds)
    if (inputs.timeIds) bindSteady(NAMES.timeIds, inputs.timeIds)
  }
}

function releaseAll(values: readonly NativeHandle[]): void {
  values.forEach((value) => value.release())
}
