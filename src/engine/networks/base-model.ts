import { SwiftdError } from '../errors.js'
import { TEXT_ENCODER_NAMES } from '../graph/text-encoder.js'
import { elementCount, tensorBytes, type NativeTensor } from '../tensor.js'
import { viewMemory } from '../memory/libc.js'
import type { Checkpoint, Family } from '../weights/checkpoint.js'
import { createExclusive } from '../exclusive.js'
import type { Timing } from '../pipeline/stages.js'
import type { AdapterSet } from './adapter-set.js'
import type { Fence } from './fence.js'
import type { GraphCache } from './graph-cache.js'
import { createNetworkFiles } from './network-files.js'
import type { Overlay } from './overlay.js'
import { openTextEncoder, type TextEncoder } from './text-encoder.js'
import { openUnet, type TrunkInputs, type Unet } from './unet.js'
import type { ScaledResiduals } from './residual-sum.js'
import { openVae, type Vae } from './vae.js'

/** Where an encoded prompt goes. */
export interface PromptOutputs {
  /** (1, S, C), C as `promptDims` says */
  readonly hiddenStates: NativeTensor
  /** (1, P), only for SDXL */
  readonly pooled?: NativeTensor
}

export interface CallOptions {
  readonly signal?: AbortSignal
  /** The adapters that are in effect for this call. @default none */
  readonly adapters?: AdapterSet
  /** ControlNet residuals that are added between the UNet's encoder and decoder. */
  readonly residuals?: readonly ScaledResiduals[]
  /** Waited for when the encoder was given to the device, and counted as the encoder's time: for measurements. */
  readonly fence?: Fence
}

/**
 * Where the time of a UNet pass went, in milliseconds. Without a fence an encoder may take next to nothing on a device that the
 * runtime does not wait for, and the decoder the more.
 */
export interface UnetTiming extends Timing {
  readonly encoderMs: number
  /** With the sum of the residuals. */
  readonly decoderMs: number
  /** Waiting for residuals, when the encoder was done. */
  readonly waitMs: number
}

/** A checkpoint with its weights bound, ready to compute. Calls take turns; all tensors are float32. */
export interface BaseModel {
  readonly checkpoint: Checkpoint
  /** Whether half precision may not hold what is computed: it rounds weights or values, but for an autoencoder that asks for float32. */
  readonly halfPrecision: boolean
  /** The networks themselves, for what needs their inner values. Not to be used beside the calls below. */
  readonly networks: { readonly textEncoders: readonly TextEncoder[]; readonly unet: Unet; readonly vae: Vae }
  /** Encodes one prompt; see `Stages.encodePrompt`. */
  encodePrompt(
    tokens: readonly (readonly number[])[],
    clipSkip: number | undefined,
    out: PromptOutputs,
    options?: CallOptions,
  ): Promise<Timing>
  /** One pass of the whole UNet. */
  predictNoise(inputs: TrunkInputs, out: NativeTensor, options?: CallOptions): Promise<UnetTiming>
  /** Binds the base again where one of these overlays is bound, so that they may be released. */
  leaveAdapters(overlays: readonly Overlay[]): Promise<void>
  /** Latents (N, C, h, w), not scaled, to image (N, 3, 8h, 8w). */
  decodeLatents(latents: NativeTensor, out: NativeTensor, signal?: AbortSignal): Promise<Timing>
  /** Image (N, 3, H, W) in -1..1 to moments (N, 2C, H/8, W/8). */
  encodeImage(image: NativeTensor, out: NativeTensor, signal?: AbortSignal): Promise<Timing>
  /** Settles when no call is under way. */
  idle(): Promise<void>
  release(): void
}

export interface BaseModelOptions {
  readonly cacheDirectory: string
}

/** Shapes of one encoded prompt of this checkpoint. */
export function promptDims({ family, textEncoders }: Checkpoint): { hiddenStates: number[]; pooled?: number[] } {
  const width = textEncoders.reduce((sum, { config }) => sum + config.hidden_size, 0)
  const hiddenStates = [1, textEncoders[0].config.max_position_embeddings, width]
  if (family === 'sd') return { hiddenStates }
  return { hiddenStates, pooled: [1, textEncoders[textEncoders.length - 1].config.projection_dim ?? 0] }
}

/**
 * Maps a checkpoint's files and binds them to the graphs of its architecture, which are compiled if they are new.
 * @throws SwiftdError INVALID_WEIGHTS if a file is damaged or does not fit its config
 */
export async function openBaseModel(
  graphs: GraphCache,
  checkpoint: Checkpoint,
  { cacheDirectory }: BaseModelOptions,
): Promise<BaseModel> {
  const opened: { release(): void }[] = []
  const releaseAll = (): void => {
    for (const each of opened.splice(0).reverse()) each.release()
  }
  const keep = <T extends { release(): void }>(value: T): T => {
    opened.push(value)
    return value
  }
  const device = await graphs.target()
  const files = createNetworkFiles(device, cacheDirectory)
  opened.push({ release: () => files.close() })

  try {
    const textEncoders: TextEncoder[] = []
    for (const component of checkpoint.textEncoders) {
      textEncoders.push(
        keep(await openTextEncoder(graphs, component.config, await files.open(component, 'textEncoder'))),
      )
    }
    const unet = keep(await openUnet(graphs, checkpoint.unet.config, await files.open(checkpoint.unet, 'unet')))
    const vae = keep(await openVae(graphs, checkpoint.vae.config, await files.open(checkpoint.vae, 'vae')))
    // A network holds values between its runs, such as the skips; while one pass waits for residuals, others may compute.
    const [textTurn, unetTurn, vaeTurn] = [createExclusive(), createExclusive(), createExclusive()]
    return {
      checkpoint,
      halfPrecision: device.precision !== 'float32' && !device.mapsWeights,
      networks: { textEncoders, unet, vae },
      encodePrompt: (tokens, clipSkip, out, { signal, adapters } = {}) =>
        textTurn(() => {
          textEncoders.forEach((encoder, index) => encoder.useOverlay(adapters?.textEncoders[index]))
          return encodePrompt(checkpoint.family, textEncoders, tokens, clipSkip, out, signal)
        }),
      predictNoise: (inputs, out, options = {}) =>
        unetTurn(() => {
          unet.useOverlay(options.adapters?.unet)
          return predictNoise(unet, inputs, out, options)
        }),
      async leaveAdapters(overlays) {
        const leave = (network: Unet | TextEncoder): void => overlays.forEach((each) => network.leaveOverlay(each))
        await textTurn(() => Promise.resolve(textEncoders.forEach(leave)))
        await unetTurn(() => Promise.resolve(leave(unet)))
      },
      decodeLatents: (latents, out, signal) => vaeTurn(() => vae.decode(latents, out, signal)),
      encodeImage: (image, out, signal) => vaeTurn(() => vae.encode(image, out, signal)),
      async idle() {
        for (const turn of [textTurn, unetTurn, vaeTurn]) await turn(() => Promise.resolve())
      },
      release: releaseAll,
    }
  } catch (error) {
    releaseAll()
    throw error
  }
}

async function predictNoise(
  unet: Unet,
  inputs: TrunkInputs,
  out: NativeTensor,
  { signal, residuals, fence }: CallOptions,
): Promise<UnetTiming> {
  const encoder = await unet.encode(inputs, signal)
  const began = performance.now()
  await fence?.()
  const fenceMs = fence ? performance.now() - began : 0
  const decoder = await unet.decode(inputs, out, residuals, signal)
  return {
    runtimeMs: encoder.runtimeMs + fenceMs + decoder.runtimeMs,
    encoderMs: encoder.runtimeMs + fenceMs,
    decoderMs: decoder.runtimeMs,
    waitMs: decoder.waitMs,
  }
}

/** Hidden states of all encoders joined along the channels, and the last encoder's pooled projection. */
async function encodePrompt(
  family: Family,
  encoders: readonly TextEncoder[],
  tokens: readonly (readonly number[])[],
  clipSkip: number | undefined,
  out: PromptOutputs,
  signal?: AbortSignal,
): Promise<Timing> {
  const parts: Float32Array[] = []
  let pooled: Float32Array | undefined
  let total = 0
  for (const [index, encoder] of encoders.entries()) {
    const last = index === encoders.length - 1
    const states = hiddenStateName(family, encoder.config.num_hidden_layers, clipSkip)
    const outputs = family === 'sdxl' && last ? [states, TEXT_ENCODER_NAMES.textEmbeds] : [states]
    const { values, runtimeMs } = await encoder.run([tokens[index]], outputs, signal)
    parts.push(values[0])
    pooled = values[1]
    total += runtimeMs
  }
  joinChannels(parts, floatsOf(out.hiddenStates), out.hiddenStates.dims[1])
  if (pooled && out.pooled) floatsOf(out.pooled).set(pooled)
  return { runtimeMs: total }
}

/**
 * The hidden states that condition the UNet: SD takes the last layer with the final norm, SDXL the last but one without;
 * `clipSkip` leaves out as many more (diffusers' clip_skip).
 */
function hiddenStateName(family: Family, layers: number, clipSkip: number | undefined): string {
  const layer = layers - (clipSkip ?? 0) - (family === 'sdxl' ? 1 : 0)
  if (layer < 0) {
    const most = layers - (family === 'sdxl' ? 1 : 0)
    throw new SwiftdError('INVALID_REQUEST', `A clip skip of ${clipSkip} is too large; this model allows 0 to ${most}.`)
  }
  return family === 'sdxl' ? TEXT_ENCODER_NAMES.hidden(layer) : TEXT_ENCODER_NAMES.normed(layer)
}

/** Interleaves rows of several (S, Ci) matrices into one (S, ΣCi). */
function joinChannels(parts: readonly Float32Array[], out: Float32Array, rows: number): void {
  const width = out.length / rows
  let column = 0
  for (const part of parts) {
    const partWidth = part.length / rows
    for (let row = 0; row < rows; row++) {
      out.set(part.subarray(row * partWidth, (row + 1) * partWidth), row * width + column)
    }
    column += partWidth
  }
}

function floatsOf(tensor: NativeTensor): Float32Array {
  return new Float32Array(
    viewMemory(tensor.address, tensorBytes(tensor.type, tensor.dims)),
    0,
    elementCount(tensor.dims),
  )
}
