import { existsSync, realpathSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { z } from 'zod'
import { SwiftdError } from '../errors.js'
import type { Checkpoint, Component } from './checkpoint.js'
import { parseControlNetConfig, readConfig, readControlNetConfig, type ControlNetConfig } from './config.js'
import { checkControlNetFits } from './controlnet-fit.js'
import { describeContents } from './file-contents.js'
import { findWeights } from './find-weights.js'
import { ORIGINAL_PREFIX, originalTrunkNames } from './original-names.js'
import { refusePickle } from './pickle.js'
import { openSafetensors, type SafetensorsFile } from './safetensors.js'
import { shapesUnder } from './tensor-shapes.js'
import { DIFFUSERS_TRUNK, detectTrunk, ORIGINAL_TRUNK, type TrunkSizes } from './trunk-architecture.js'

/** What a ControlNet's files say of it, without the base model that it is used with. */
export interface ControlNetSizes {
  /** The real path of the folder or file. */
  readonly path: string
  readonly kind: 'folder' | 'file'
  /** How its tensors are named. */
  readonly format: 'diffusers' | 'original'
  /** The .safetensors file that holds the weights. */
  readonly weightsPath: string
  readonly trunk: TrunkSizes
}

/**
 * Opens a ControlNet for a base model without reading its weights: a diffusers folder (config.json and weights), or a
 * single file in diffusers' or in the original names. What shapes do not tell (heads, norm groups), a single file has as
 * the base, which it began as a copy of.
 * @throws SwiftdError MODEL_NOT_FOUND if there is nothing; INVALID_WEIGHTS if it is damaged or made for another base;
 * INVALID_CONFIG for impossible values; UNSUPPORTED_MODEL if it is something else
 */
export function openControlNetComponent(path: string, base: Checkpoint): Component<ControlNetConfig> {
  const controlNet = inspectControlNet(path)
  checkControlNetFits(controlNet.path, controlNet.trunk, base)
  if (controlNet.kind === 'folder') {
    const config = readControlNetConfig(join(controlNet.path, 'config.json'))
    return { config, weightsPath: controlNet.weightsPath, names: () => (name) => ({ name }) }
  }
  const file = openSafetensors(controlNet.weightsPath)
  try {
    const prefix = controlNet.format === 'original' ? originalPrefix(file) : ''
    const config = completeConfig(file, controlNet, prefix, base)
    const names = controlNet.format === 'original' ? originalTrunkNames(config, prefix) : (name: string) => ({ name })
    return { config, weightsPath: controlNet.weightsPath, names: () => names }
  } finally {
    file.close()
  }
}

/**
 * What a ControlNet is, from its configuration or from its tensors' names and shapes.
 * @throws SwiftdError as `openControlNetComponent`, except that it fits every base
 */
export function inspectControlNet(path: string): ControlNetSizes {
  if (!existsSync(path)) throw new SwiftdError('MODEL_NOT_FOUND', `There is no ControlNet at ${path}.`)
  const real = realpathSync(path)
  if (statSync(real).isDirectory()) return inspectFolder(real)
  refusePickle(real, 'ControlNet')
  const file = openSafetensors(real)
  try {
    const format = formatOf(file)
    const shapes = shapesUnder(file, format === 'original' ? originalPrefix(file) : '')
    const trunk = detectTrunk(shapes, format === 'original' ? ORIGINAL_TRUNK : DIFFUSERS_TRUNK)
    return { path: real, kind: 'file', format, weightsPath: real, trunk }
  } finally {
    file.close()
  }
}

const folderClass = z.looseObject({ _class_name: z.string().default('ControlNetModel') })

function inspectFolder(path: string): ControlNetSizes {
  const configPath = join(path, 'config.json')
  if (!existsSync(configPath)) {
    const advice = 'give the folder that contains config.json and diffusion_pytorch_model.safetensors, or a single file'
    throw new SwiftdError('MODEL_NOT_FOUND', `${path} is not a ControlNet folder: it has no config.json; ${advice}.`)
  }
  const { _class_name: className } = readConfig(configPath, folderClass)
  if (className !== 'ControlNetModel') {
    throw new SwiftdError('UNSUPPORTED_MODEL', `${path} is a ${className}; swiftd runs ControlNetModel folders.`)
  }
  const trunk = readControlNetConfig(configPath)
  const weightsPath = findWeights(path, 'diffusion_pytorch_model')
  return { path, kind: 'folder', format: 'diffusers', weightsPath, trunk }
}

function formatOf(file: SafetensorsFile): ControlNetSizes['format'] {
  const contents = describeContents(file)
  if (contents === 'is a ControlNet' && !file.tensors.has('difference')) {
    return file.tensors.has('controlnet_cond_embedding.conv_in.weight') ? 'diffusers' : 'original'
  }
  const what = file.tensors.has('difference') ? 'holds only the difference of a ControlNet to its base' : contents
  throw new SwiftdError('UNSUPPORTED_MODEL', `${file.path} ${what}; give a whole ControlNet.`)
}

/** Files are published with the prefix that the weights had in the training program, and without. */
function originalPrefix({ tensors }: SafetensorsFile): string {
  return tensors.has(`${ORIGINAL_PREFIX.controlNet}input_hint_block.0.weight`) ? ORIGINAL_PREFIX.controlNet : ''
}

function completeConfig(
  file: SafetensorsFile,
  { path, format, trunk }: ControlNetSizes,
  prefix: string,
  { unet }: Checkpoint,
): ControlNetConfig {
  const { heads, norm_num_groups, norm_eps, flip_sin_to_cos, freq_shift, addition_time_embed_dim } = unet.config
  return parseControlNetConfig(path, {
    ...trunk,
    ...{ attention_head_dim: heads, norm_num_groups, norm_eps, flip_sin_to_cos, freq_shift, addition_time_embed_dim },
    ...detectEmbedding(file, format, prefix),
    // Only its name tells that a file is of this kind; other programs go by it, too.
    global_pool_conditions: /shuffle/i.test(basename(path)),
  })
}

/** The widths of the network that embeds the picture: one convolution, then two for each halving, then one. */
function detectEmbedding(file: SafetensorsFile, format: ControlNetSizes['format'], prefix: string) {
  const shapes = shapesUnder(file, prefix)
  const [first, widening] =
    format === 'original'
      ? ['input_hint_block.0.weight', (n: number) => `input_hint_block.${4 * n + 4}.weight`]
      : [
          'controlnet_cond_embedding.conv_in.weight',
          (n: number) => `controlnet_cond_embedding.blocks.${2 * n + 1}.weight`,
        ]
  const widths = [shapes.of(first)[0]]
  for (let n = 0; shapes.has(widening(n)); n++) widths.push(shapes.of(widening(n))[0])
  return { conditioning_channels: shapes.of(first)[1], conditioning_embedding_out_channels: widths }
}
