import { promptDims, type BaseModel } from '../../src/engine/networks/base-model.js'
import { openModelHost, type ModelHost } from '../../src/engine/networks/model-host.js'
import { allocateTensor, borrowTensor } from '../../src/engine/pipeline/local-tensor.js'
import type { NativeTensor } from '../../src/engine/tensor.js'
import { openCheckpoint } from '../../src/engine/weights/checkpoint.js'
import { openFence, type Fence } from '../../src/engine/networks/fence.js'
import { allFinite } from '../../src/engine/weights/find-nan.js'
import { allocatePass, type PassTensors } from '../bare-unet.js'
import type { PartSettings } from './settings.js'

/** The device of this process. Nothing is released: the process ends with its part. */
export interface OpenedDevice {
  readonly host: ModelHost
  readonly fence: Fence
}

/** A model on it. */
export interface OpenedModel extends OpenedDevice {
  readonly model: BaseModel
  /** Inputs and output of a pass of the settings' size. */
  readonly pass: PassTensors
  /** One pass of the UNet, both halves of the guidance. */
  readonly step: () => Promise<unknown>
  /** Its first half alone; settles when the device has computed it. */
  readonly encode: () => Promise<unknown>
  /** Its second half, on what the first one left. */
  readonly decode: () => Promise<unknown>
}

/** Both halves of the guidance. */
const BATCH = 2

/** Opens the runtime and has the device compute something. */
export async function openDevice({ device, cacheDirectory }: PartSettings): Promise<OpenedDevice> {
  const { provider, threads, name } = device
  // Cold ControlNets are loaded again and again: nothing is to keep them on the card.
  const budgets = { controlNets: 0 }
  const host = openModelHost({ provider, threads, cacheDirectory, device: name, budgets })
  const fence = await openFence(host.graphs)
  await fence()
  return { host, fence }
}

/** Loads the model; settles when the device has it. */
export async function loadOpened(
  opened: OpenedDevice,
  { model: { checkpoint, size } }: PartSettings,
): Promise<OpenedModel> {
  const model = await opened.host.load(openCheckpoint(checkpoint))
  await opened.fence()
  const pass = allocatePass(model.checkpoint, BATCH, size / model.checkpoint.vaeScale)
  const { inputs, noise } = pass
  const { unet } = model.networks
  return {
    ...{ ...opened, model, pass },
    step: () => model.predictNoise(inputs, noise),
    async encode() {
      await unet.encode(inputs)
      await opened.fence()
    },
    decode: () => unet.decode(inputs, noise),
  }
}

/** Both, as a worker does it when it starts; with how long that took, in milliseconds. */
export async function openDeviceModel(settings: PartSettings): Promise<OpenedModel & { readonly coldMs: number }> {
  const began = performance.now()
  const opened = await loadOpened(await openDevice(settings), settings)
  return { ...opened, coldMs: performance.now() - began }
}

/** The stages before and after a job's steps: one prompt into all text encoders, one picture out of the autoencoder. */
export function openStages(model: BaseModel, size: number) {
  const { checkpoint } = model
  const side = size / checkpoint.vaeScale
  const latents = allocateTensor([1, checkpoint.vae.config.latent_channels, side, side])
  latents.data.forEach((_, index) => (latents.data[index] = Math.sin(index)))
  const image = allocateTensor([1, 3, size, size]).native
  const { hiddenStates, pooled } = promptDims(checkpoint)
  const prompt = {
    hiddenStates: allocateTensor(hiddenStates).native,
    ...(pooled && { pooled: allocateTensor(pooled).native }),
  }
  const tokens = checkpoint.textEncoders.map(({ config }) => Array<number>(config.max_position_embeddings).fill(1))
  return {
    latents: latents.native,
    image,
    states: prompt.hiddenStates,
    encode: () => model.encodePrompt(tokens, undefined, prompt),
    decode: () => model.decodeLatents(latents.native, image),
  }
}

/**
 * Times of what gives nonsense are worth nothing, and the values of the random models are numbers.
 * @param what the values as a sentence calls them
 * @throws Error if one is no finite number
 */
export function requireFinite(what: string, tensor: NativeTensor): void {
  if (!allFinite(borrowTensor(tensor).data)) throw new Error(`${what} are not all finite numbers.`)
}
