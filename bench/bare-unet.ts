import { trunkShapes } from '../src/engine/graph/trunk-shapes.js'
import { buildUnetDecoder, buildUnetEncoder, UNET_NAMES as NAMES } from '../src/engine/graph/unet.js'
import { promptDims } from '../src/engine/networks/base-model.js'
import type { ModelHost } from '../src/engine/networks/model-host.js'
import { bindNetwork } from '../src/engine/networks/network.js'
import { createTrunkBinder, type TrunkInputs } from '../src/engine/networks/unet.js'
import { allocateTensor, type LocalTensor } from '../src/engine/pipeline/local-tensor.js'
import type { NativeTensor } from '../src/engine/tensor.js'
import type { Checkpoint } from '../src/engine/weights/checkpoint.js'
import { openAsFloat32 } from '../src/engine/weights/widened-cache.js'
import { weightsFromFile } from '../src/engine/weights/weights.js'

/** Inputs and the output of a UNet pass, in native memory. */
export interface PassTensors {
  readonly inputs: TrunkInputs
  /** (B, 4, h, w) */
  readonly noise: NativeTensor
  release(): void
}

/**
 * Tensors for passes of a checkpoint's UNet, filled with small values: how long a pass takes does not depend on them.
 * @param batch both halves of the guidance count
 * @param latentSize height and width in latents
 */
export function allocatePass(checkpoint: Checkpoint, batch: number, latentSize: number): PassTensors {
  const allocated: LocalTensor[] = []
  const tensor = (dims: readonly number[]): NativeTensor => {
    const made = allocateTensor(dims)
    made.data.forEach((_, index) => (made.data[index] = Math.sin(index)))
    allocated.push(made)
    return made.native
  }
  const { hiddenStates, pooled } = promptDims(checkpoint)
  const { in_channels: channels, out_channels: predicted } = checkpoint.unet.config
  return {
    inputs: {
      sample: tensor([batch, channels, latentSize, latentSize]),
      timestep: 500,
      encoderHiddenStates: tensor([batch, ...hiddenStates.slice(1)]),
      ...(pooled && { textEmbeds: tensor([batch, ...pooled.slice(1)]), timeIds: tensor([batch, 6]) }),
    },
    noise: tensor([batch, predicted, latentSize, latentSize]),
    release: () => allocated.forEach((each) => each.release()),
  }
}

/** A UNet without anything around it. */
export interface BareUnet {
  /** One pass on this thread: two calls of the runtime, nothing else. */
  pass(): void
  release(): void
}

/** Binds a checkpoint's UNet to fixed inputs and outputs. */
export async function openBareUnet(
  host: ModelHost,
  { unet }: Checkpoint,
  tensors: PassTensors,
  cacheDirectory: string,
): Promise<BareUnet> {
  const { config } = unet
  const file = await openAsFloat32(unet.weightsPath, { cacheDirectory })
  const weights = weightsFromFile(file, unet.names(file))
  const bound = await bindNetwork(host.graphs, weights, [
    await host.graphs.open('unet-encoder', config, () => buildUnetEncoder(config)),
    await host.graphs.open('unet-decoder', config, () => buildUnetDecoder(config)),
  ])
  const [encoder, decoder] = bound.bindings
  const timestep = allocateTensor([1])
  timestep.data[0] = tensors.inputs.timestep
  const skips = trunkShapes(config).skips.map((_, index) => NAMES.skip(index))
  const handedOver = [...skips, NAMES.mid, NAMES.activatedTime]

  createTrunkBinder(encoder)(tensors.inputs, timestep.native.address)
  handedOver.forEach((name) => encoder.bindDeviceOutput(name))
  encoder.runBlocking()
  const encoded = encoder.takeOutputs()
  handedOver.forEach((name, index) => decoder.bindInputValue(name, encoded[index]))
  decoder.bindInput(NAMES.encoderHiddenStates, tensors.inputs.encoderHiddenStates)
  decoder.bindOutput(NAMES.noise, tensors.noise)

  return {
    pass() {
      encoder.runBlocking()
      decoder.runBlocking()
    },
    release() {
      encoded.forEach((value) => value.release())
      bound.release()
      weights.close()
      timestep.release()
    },
  }
}
