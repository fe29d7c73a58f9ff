import { existsSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { SwiftdError } from '../errors.js'
import { detectVaeSizes, vaeConfigOf, type VaeSizes } from './architecture.js'
import type { Component } from './checkpoint.js'
import { readVaeConfig, type VaeConfig } from './config.js'
import { diffusersVaeNames } from './diffusers-names.js'
import { describeContents } from './file-contents.js'
import { findWeights } from './find-weights.js'
import { ORIGINAL_PREFIX, originalVaeNames } from './original-names.js'
import { refusePickle } from './pickle.js'
import { groupsFor } from './published-sizes.js'
import { openSafetensors, type SafetensorsFile } from './safetensors.js'

/**
 * Opens an autoencoder of its own: a diffusers folder (config.json and weights), or a single file in diffusers' names or in
 * the original ones, with or without a checkpoint's prefix.
 * @param own the autoencoder that it replaces, whose latents it must know: a file's scaling factor is that one's
 * @throws SwiftdError MODEL_NOT_FOUND, INVALID_CONFIG, INVALID_WEIGHTS, UNSUPPORTED_MODEL
 */
export function openVaeComponent(path: string, own: VaeConfig): Component<VaeConfig> {
  if (!existsSync(path)) throw new SwiftdError('MODEL_NOT_FOUND', `There is no autoencoder (VAE) at ${path}.`)
  const real = realpathSync(path)
  if (statSync(real).isDirectory()) {
    const config = readVaeConfig(join(real, 'config.json'))
    return { config, weightsPath: findWeights(real, 'diffusion_pytorch_model'), names: diffusersVaeNames }
  }
  refusePickle(real, 'autoencoder (VAE)')
  const file = openSafetensors(real)
  try {
    return openFile(file, own)
  } finally {
    file.close()
  }
}

function openFile(file: SafetensorsFile, own: VaeConfig): Component<VaeConfig> {
  const prefix = file.tensors.has(`${ORIGINAL_PREFIX.vae}decoder.conv_in.weight`) ? ORIGINAL_PREFIX.vae : ''
  if (file.tensors.has(`${prefix}decoder.mid.block_1.conv1.weight`)) {
    const config = complete(file, detectVaeSizes(file, prefix, 'original'), own)
    const names = originalVaeNames(config.block_out_channels.length, prefix)
    return { config, weightsPath: file.path, names: () => names }
  }
  if (file.tensors.has('decoder.mid_block.resnets.0.conv1.weight') && file.tensors.has('encoder.conv_in.weight')) {
    const config = complete(file, detectVaeSizes(file, '', 'diffusers'), own)
    return { config, weightsPath: file.path, names: diffusersVaeNames }
  }
  const contents = describeContents(file)
  throw new SwiftdError('UNSUPPORTED_MODEL', `${file.path} ${contents}; give an autoencoder (VAE) that swiftd knows.`)
}

function complete(file: SafetensorsFile, sizes: VaeSizes, own: VaeConfig): VaeConfig {
  const widths = sizes.block_out_channels
  const isAsOwn = String(widths) === String(own.block_out_channels)
  const groups = isAsOwn ? own.norm_num_groups : groupsFor(file.path, widths)
  return vaeConfigOf(file.path, sizes, { norm_num_groups: groups, scaling_factor: own.scaling_factor })
}
