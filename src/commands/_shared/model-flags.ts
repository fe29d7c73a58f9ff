import { resolve } from 'node:path'
import { Flags } from '@oclif/core'

/** How a model is registered: the same for models on this machine and for those that are pulled. */
export const MODEL_FLAGS = {
  name: Flags.string({
    description: 'Its name, perhaps with a :tag. By default what the repository, the folder or the file is called.',
    env: 'SWIFTD_MODEL_NAME',
  }),
  config: Flags.string({
    description: 'For single files of an unusual architecture: a diffusers folder, with or without weights.',
    env: 'SWIFTD_MODEL_CONFIG',
    helpValue: 'FOLDER',
  }),
  vae: Flags.string({
    description: "An autoencoder (folder or .safetensors file) to use instead of the model's own.",
    env: 'SWIFTD_MODEL_VAE',
    helpValue: 'PATH',
  }),
  variant: Flags.string({
    description: 'For folders: which weights to use, such as fp16.',
    env: 'SWIFTD_MODEL_VARIANT',
  }),
}

interface ModelFlagValues {
  readonly name?: string
  readonly config?: string
  readonly vae?: string
  readonly variant?: string
}

/** The flags as settings of a registration, with full paths and without those that were not given. */
export function modelSettings({ name, config, vae, variant }: ModelFlagValues) {
  return {
    ...(name !== undefined && { name }),
    ...(config !== undefined && { configuration: resolve(config) }),
    ...(vae !== undefined && { vae: resolve(vae) }),
    ...(variant !== undefined && { variant }),
  }
}
