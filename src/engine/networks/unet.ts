import { buildResidualSum, RESIDUAL_NAMES } from '../graph/residual-sum.js'
import { buildUnetDecoder, buildUnetEncoder, trunkShapes, UNET_NAMES as NAMES } from '../graph/unet.js'
import { allocateNative } from '../memory/native-memory.js'
import type { NativeHandle } from '../ort/native.js'
import type { Binding } from '../ort/session.js'
import type { NativeTensor } from '../tensor.js'
import type { UnetConfig } from '../weights/config.js'
import type { Weights, WeightShape } from '../weights/weights.js'
import type { GraphCache } from './graph-cache.js'
import { bindWeights, createBinder, sameDims, weightNames } from './network.js'
import { createOverlayBinder, type Overlay } from './overlay.js'

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
   * Adds residuals and runs the up blocks on what the last `encode` gave.
   * @param noise (B, 4, h, w) receives the prediction
   */
  decode(
    inputs: TrunkInputs,
    noise: NativeTensor,
    residuals?: readonly ScaledResiduals[],
    signal?: AbortSignal,
  ): Promise<{ runtimeMs: number }>
  /** The base weights, which overlays are made of. */
  readonly weights: Weights
  /** All weights that the two graphs read. */
  readonly weightShapes: readonly WeightShape[]
  /** Makes an overlay effective for the passes that follow; undefined leaves only the base weights. */
  useOverlay(overlay: Overlay | undefined): void
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
  let summed: NativeHandle[] | undefined

  /** The runtime keeps its output buffers from run to run; only another shape needs new ones. */
  const prepareOutputs = (dims: readonly number[]): void => {
    if (sameDims(dims, encodedDims)) return
    releaseAll(encoded)
    encoded = []
    encodedDims = []
    encoder.clearOutputs()
    encoderOutputs.forEach((name) => encoder.bindRuntimeOutput(name))
  }
  const handOver = (values: readonly NativeHandle[]): void => {
    ;[...skipNames, NAMES.mid].forEach((name, index) => decoder.bindInputValue(name, values[index]))
  }

  const graphsOfBoth = [encoderGraph.graph, decoderGraph.graph]
  return {
    config,
    weights,
    weightShapes: graphsOfBoth.flatMap((graph) => graph.weights),
    useOverlay: createOverlayBinder([encoder, decoder], graphsOfBoth.map(weightNames), weights),
    async encode(inputs, signal) {
      const { dims } = inputs.sample
      prepareOutputs(dims)
      timestep.floats[0] = inputs.timestep
      bindTrunkInputs(bindEncoderInput, inputs, timestep.address)
      const { runtimeMs } = await encoder.run(signal)
      if (!sameDims(dims, encodedDims)) {
        encoded = encoder.takeOutputs()
        encodedDims = dims
        handOver(encoded)
        decoder.bindInputValue(NAMES.activatedTime, encoded[encoded.length - 1])
      }
      return { skips: encoded.slice(0, -2), mid: encoded[encoded.length - 2], runtimeMs }
    },
    async decode(inputs, noise, residuals = [], signal) {
      bindDecoderInput(NAMES.encoderHiddenStates, inputs.encoderHiddenStates)
      bindDecoderOutput(NAMES.noise, noise)
      let runtimeMs = 0
      try {
        for (const each of residuals) {
          const sum = await addResiduals(graphs, config, summed ?? encoded, each, signal)
          if (summed) releaseAll(summed)
          summed = sum.values
          runtimeMs += sum.runtimeMs
        }
        if (summed) handOver(summed)
        return { runtimeMs: runtimeMs + (await decoder.run(signal)).runtimeMs }
      } finally {
        if (summed) {
          handOver(encoded)
          releaseAll(summed)
          summed = undefined
        }
      }
    },
    release() {
      releaseAll(encoded)
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

/** encoded + scales * residuals, as new values that the caller releases. */
async function addResiduals(
  graphs: GraphCache,
  config: UnetConfig,
  encoded: readonly NativeHandle[],
  { skips, mid, scales }: ScaledResiduals,
  signal?: AbortSignal,
): Promise<{ values: NativeHandle[]; runtimeMs: number }> {
  const shapes = trunkShapes(config)
  const { graph, session } = await graphs.open('residual-sum', shapes, () => buildResidualSum(shapes))
  const binding: Binding = session.createBinding()
  const factors = allocateNative(scales.length * 4)
  try {
    factors.floats.set(scales)
    binding.bindInput(RESIDUAL_NAMES.scales, { type: 'float32', dims: [scales.length], address: factors.address })
    skips.forEach((residual, index) => {
      binding.bindInputValue(NAMES.skip(index), encoded[index])
      binding.bindInput(RESIDUAL_NAMES.residual(index), residual)
    })
    binding.bindInputValue(NAMES.mid, encoded[skips.length])
    binding.bindInput(RESIDUAL_NAMES.midResidual, mid)
    graph.outputs.forEach((name) => binding.bindRuntimeOutput(name))
    const { runtimeMs } = await binding.run(signal)
    return { values: binding.takeOutputs(), runtimeMs }
  } finally {
    binding.release()
    factors.release()
  }
}

function releaseAll(values: readonly NativeHandle[]): void {
  values.forEach((value) => value.release())
}
