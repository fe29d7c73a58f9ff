import { existsSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { SwiftdError } from '../errors.js'
import { detectVae } from './architecture.js'
import type { Component, Family } from './checkpoint.js'
import { readVaeConfig, type VaeConfig } from './config.js'
import { diffusersVaeNames } from './diffusers-names.js'
import { ORIGINAL_PREFIX, originalVaeNames } from './original-names.js'
import { openSafetensors } from './safetensors.js'

/**
 * Opens an autoencoder of its own: a diffusers folder (config.json and weights), or a single file in the original names,
 * with or without a checkpoint's prefix.
 * @throws SwiftdError MODEL_NOT_FOUND, INVALID_CONFIG, INVALID_WEIGHTS, UNSUPPORTED_MODEL
 */
export function openVaeComponent(path: string, family: Family): Component<VaeConfig> {
  if (!existsSync(path)) throw new SwiftdError('MODEL_NOT_FOUND', `There is no autoencoder (VAE) at ${path}.`)
  const real = realpathSync(path)
  if (statSync(real).isDirectory()) {
    const weightsPath = join(real, 'diffusion_pytorch_model.safetensors')
    return { config: readVaeConfig(join(real, 'config.json')), weightsPath, names: diffusersVaeNames }
  }
  const file = openSafetensors(real)
  try {
    const prefix = file.tensors.has(`${ORIGINAL_PREFIX.vae}decoder.conv_in.weight`) ? ORIGINAL_PREFIX.vae : ''
    if (!file.tensors.has(`${prefix}decoder.mid.block_1.conv1.weight`)) {
      throw new SwiftdError('UNSUPPORTED_MODEL', `${real} is not an autoencoder (VAE) that swiftd knows.`)
    }
    const config = detectVae(file, family, prefix)
    const names = originalVaeNames(config.block_out_channels.length, prefix)
    return { config, weightsPath: real, names: () => names }
  } finally {
    file.close()
  }
}
