import { createHash } from 'node:crypto'
import { openCheckpoint, type CheckpointOptions } from '../../engine/weights/checkpoint.js'
import { openControlNetComponent } from '../../engine/weights/controlnet-file.js'

/** What the times of a job's stages depend on besides the device. */
export interface Subject {
  readonly model: { readonly path: string; readonly options?: CheckpointOptions }
  /** The model's path with what shapes its UNet. */
  readonly modelKey: string
  readonly controls: readonly { readonly path: string; readonly key: string }[]
  /** (channels, height, width) */
  readonly latents: readonly [number, number, number]
  /** Rows of the whole batch, and of the larger half of it. */
  readonly rows: { readonly full: number; readonly half: number }
}

export interface SubjectRequest {
  readonly modelPath: string
  readonly modelOptions?: CheckpointOptions
  readonly controls: readonly { readonly path: string }[]
  /** Pixels. */
  readonly width: number
  readonly height: number
}

/**
 * Reads what a job's times depend on from its model's and ControlNets' configurations.
 * @param batch rows of the batch
 * @throws SwiftdError as opening the model or a ControlNet does
 */
export function readSubject({ modelPath: path, modelOptions, ...request }: SubjectRequest, batch: number): Subject {
  const checkpoint = openCheckpoint(path, modelOptions)
  const { unet, vae, vaeScale } = checkpoint
  return {
    // The same reference as a job's, so that the worker finds the model that a job loaded.
    model: { path: checkpoint.path, ...(modelOptions && { options: modelOptions }) },
    modelKey: keyOf(checkpoint.path, unet.config),
    controls: request.controls.map((control) => {
      const { config } = openControlNetComponent(control.path, checkpoint)
      return { path: control.path, key: keyOf(control.path, config) }
    }),
    latents: [vae.config.latent_channels, request.height / vaeScale, request.width / vaeScale],
    rows: { full: batch, half: Math.ceil(batch / 2) },
  }
}

/** The file or folder behind a path may become another one; its times are others only if its architecture is. */
function keyOf(path: string, config: object): string {
  return `${path} ${createHash('sha256').update(JSON.stringify(config)).digest('hex').slice(0, 12)}`
}
