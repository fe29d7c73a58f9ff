import type { ControlStrength } from './control-strength.js'
import type { DenoiseOptions, DenoisePlan } from './denoise.js'

/**
 * What the pipeline needs of the networks, as a few verbs. The pipeline knows neither processes nor devices behind them:
 * in-process stages serve the goldens, remote stages call workers.
 */

/** A dense float32 tensor in memory that the stages can read and write without copying it. */
export interface Tensor {
  readonly dims: readonly number[]
  /** Row-major values. Not to be used after `release`. */
  readonly data: Float32Array
  release(): void
}

/** How long the runtime's own runs of a call took, in milliseconds. */
export interface Timing {
  readonly runtimeMs: number
}

/** What one device did in a pass of the UNet. Times are milliseconds. */
export interface DeviceTiming {
  readonly device: string
  /** base: the UNet, or its first part. second: another part of the batch. controlnet: a ControlNet. */
  readonly role: 'base' | 'second' | 'controlnet'
  readonly encoderMs?: number
  readonly decoderMs?: number
  readonly controlNetMs?: number
  /** base and second: waiting for residuals when the encoder was done. */
  readonly waitMs?: number
  /** What asking another process took besides its computing: messages there and back. */
  readonly messageMs?: number
  /** Bytes that another process wrote for this pass, into memory that both share. */
  readonly sharedBytes?: number
}

export interface PassTiming extends Timing {
  readonly devices?: readonly DeviceTiming[]
}

/** One encoded prompt. */
export interface PromptEmbedding {
  /** (1, S, C): the text encoders' hidden states, joined along C where there are two. */
  readonly hiddenStates: Tensor
  /** (1, P): the pooled projection, only for SDXL. */
  readonly pooled?: Tensor
}

/** What the UNet sees besides the latents. B is the batch with both halves of the guidance, [negative, positive]. */
export interface Conditioning {
  /** (B, S, C) */
  readonly encoderHiddenStates: Tensor
  /** (B, P), only for SDXL. */
  readonly textEmbeds?: Tensor
  /** (B, 6): original height and width, crop top and left, target height and width; only for SDXL. */
  readonly timeIds?: Tensor
}

/** Adapters (LoRAs) that are prepared for the model of some stages. What is in it is the stages' own business. */
export interface PreparedAdapters {
  readonly key: string
}

/** A ControlNet with its picture, prepared for some stages. What is in it is the stages' own business. */
export interface PreparedControl {
  readonly key: string
}

/** A ControlNet that takes part in a pass. */
export interface ActiveControl extends ControlStrength {
  readonly control: PreparedControl
}

/** What may change a pass of the UNet besides its inputs. */
export interface PassOptions {
  /** The rows before this one are the negative half of the guidance. @default 0 */
  readonly positiveRow?: number
  readonly adapters?: PreparedAdapters
  readonly controls?: readonly ActiveControl[]
}

export interface Stages {
  /** Whether networks compute in half precision, of several devices any: it may be to blame for values that are no numbers. */
  readonly halfPrecision?: boolean
  /** A zeroed tensor that the other verbs accept. */
  allocate(dims: readonly number[]): Tensor
  /**
   * Encodes one prompt.
   * @param tokens the token ids of each text encoder, padded to its context length
   * @param clipSkip how many of the last layers to leave out; undefined takes the family's usual layer
   * @param adapters what is in effect on the text encoders
   */
  encodePrompt(
    tokens: readonly (readonly number[])[],
    clipSkip?: number,
    adapters?: PreparedAdapters,
  ): Promise<PromptEmbedding>
  /**
   * Decodes latents, (N, 4, h, w), already divided by the scaling factor.
   * @returns (N, 3, 8h, 8w) in about -1..1
   */
  decodeLatents(latents: Tensor): Promise<Tensor>
  /**
   * Encodes pictures, (N, 3, H, W) in -1..1.
   * @returns (N, 8, H/8, W/8): the posterior's mean, then its log variance, not scaled
   */
  encodeImage(image: Tensor): Promise<Tensor>
  /**
   * The denoising loop. It belongs to the stages, since it runs where the networks are: in this process, or in a worker,
   * where nothing waits for messages between steps. All use `denoise.ts`.
   * @returns the final latents
   */
  denoise(plan: DenoisePlan, options: DenoiseOptions): Promise<Float32Array>
}

/** What the denoising loop itself needs of the networks. */
export interface UnetStages extends Pick<Stages, 'allocate'> {
  /**
   * One pass of the UNet.
   * @param sample (B, C, h, w) scaled latents
   * @param timestep the training timestep, one for the whole batch
   * @param out (B, 4, h, w) receives the prediction
   */
  predictNoise(
    sample: Tensor,
    timestep: number,
    conditioning: Conditioning,
    out: Tensor,
    options?: PassOptions,
  ): Promise<PassTiming>
  /** Whether a pass with these adapters would not have to wait for them. Absent: it would not. */
  readonly adaptersReady?: (adapters: PreparedAdapters) => boolean
}
