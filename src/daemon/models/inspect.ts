import { existsSync, statSync } from 'node:fs'
import type { StoredDtype } from '../../engine/weights/safetensors.js'
import { openSafetensors, type SafetensorsFile, type StoredTensor } from '../../engine/weights/safetensors.js'
import { nativeSize, openCheckpoint, type Checkpoint, type CheckpointOptions } from '../../engine/weights/checkpoint.js'
import { ORIGINAL_PREFIX as PREFIX } from '../../engine/weights/original-names.js'
import { SwiftdError } from '../../engine/errors.js'

/** One network of a model. */
export interface ComponentDescription {
  /** As diffusers calls its folder. */
  readonly name: 'text_encoder' | 'text_encoder_2' | 'unet' | 'vae'
  readonly parameters: number
  readonly bytes: number
  /** How most of its weights are stored, such as F16. */
  readonly dtype: string
  /** The .safetensors file that they lie in. */
  readonly file: string
}

/** What a model is, from its configuration and its files' headers. */
export interface ModelDescription {
  /** The real path. */
  readonly path: string
  readonly kind: 'folder' | 'file'
  readonly family: 'sd1' | 'sd2' | 'sdxl'
  /** What its UNet was trained for, told by its input channels. */
  readonly task: 'text-to-image' | 'inpainting' | 'other'
  readonly components: readonly ComponentDescription[]
  readonly parameters: number
  readonly bytes: number
  /** The components' dtypes, the most common first, joined by a comma. */
  readonly dtype: string
  /** Pixels. */
  readonly width: number
  readonly height: number
  /** diffusers' class name. */
  readonly scheduler: string
  readonly predictionType: string
}

/**
 * Opens a model, and every file of weights that it uses, without reading the weights.
 * @throws SwiftdError as `openCheckpoint`; INVALID_WEIGHTS also for a file that is damaged or has no weights of a component
 */
export function inspectModel(path: string, options: CheckpointOptions = {}): ModelDescription {
  const checkpoint = openCheckpoint(path, options)
  const components = describeComponents(checkpoint)
  const sum = (count: (component: ComponentDescription) => number): number =>
    components.reduce((total, component) => total + count(component), 0)
  const { prediction_type: predictionType } = checkpoint.scheduler.config
  return {
    path: checkpoint.path,
    kind: statSync(checkpoint.path).isDirectory() ? 'folder' : 'file',
    family: familyOf(checkpoint),
    task: taskOf(checkpoint),
    components,
    parameters: sum(({ parameters }) => parameters),
    bytes: sum(({ bytes }) => bytes),
    dtype: dtypesByBytes(components).join(', '),
    ...nativeSize(checkpoint),
    scheduler: checkpoint.scheduler.class,
    predictionType: typeof predictionType === 'string' ? predictionType : 'epsilon',
  }
}

/** SD2.x is SD1.x with an OpenCLIP text encoder, whose activation is the exact GELU. */
function familyOf({ family, textEncoders }: Checkpoint): ModelDescription['family'] {
  if (family === 'sdxl') return 'sdxl'
  return textEncoders[0].config.hidden_act === 'gelu' ? 'sd2' : 'sd1'
}

/** An inpainting UNet sees the latents, a mask of one channel and the masked picture's latents. */
function taskOf({ unet, vae }: Checkpoint): ModelDescription['task'] {
  const latents = vae.config.latent_channels
  if (unet.config.in_channels === latents) return 'text-to-image'
  return unet.config.in_channels === 2 * latents + 1 ? 'inpainting' : 'other'
}

function describeComponents(checkpoint: Checkpoint): ComponentDescription[] {
  const files = new Map<string, SafetensorsFile>()
  const describe = (name: ComponentDescription['name'], path: string, prefixes: string[]): ComponentDescription => {
    checkIsThere(path)
    const file = files.get(path) ?? openSafetensors(path)
    files.set(path, file)
    return describeComponent(name, file, prefixes)
  }
  try {
    return [
      ...checkpoint.textEncoders.map(({ weightsPath }, index) =>
        describe(index === 0 ? 'text_encoder' : 'text_encoder_2', weightsPath, textPrefixes(checkpoint, index)),
      ),
      describe('unet', checkpoint.unet.weightsPath, [PREFIX.unet]),
      describe('vae', checkpoint.vae.weightsPath, [PREFIX.vae]),
    ]
  } finally {
    files.forEach((file) => file.close())
  }
}

/** Under which prefixes a single file may have its text encoders. */
function textPrefixes({ family }: Checkpoint, index: number): string[] {
  if (family === 'sd') return [PREFIX.clip, PREFIX.openClip]
  return [index === 0 ? PREFIX.sdxlClip : PREFIX.sdxlOpenClip]
}

function checkIsThere(path: string): void {
  if (existsSync(path)) return
  throw new SwiftdError('INVALID_WEIGHTS', `There is no file ${path}; download the model again.`)
}

const ALL_PREFIXES = Object.values(PREFIX)

/** A file with prefixes holds several components; one without holds one. */
function describeComponent(
  name: ComponentDescription['name'],
  file: SafetensorsFile,
  prefixes: string[],
): ComponentDescription {
  const all = [...file.tensors.values()].filter(isWeight)
  const startsWith = (tensor: StoredTensor, some: string[]): boolean =>
    some.some((each) => tensor.name.startsWith(each))
  const whole = all.some((tensor) => startsWith(tensor, ALL_PREFIXES))
  const tensors = whole ? all.filter((tensor) => startsWith(tensor, prefixes)) : all
  if (tensors.length === 0) {
    throw new SwiftdError('INVALID_WEIGHTS', `${file.path} has no weights of the ${name}; download the model again.`)
  }
  const stored = tensors.map(({ dtype, byteLength }) => ({ dtype, bytes: byteLength }))
  return {
    name,
    parameters: tensors.reduce((sum, { shape }) => sum + shape.reduce((product, dim) => product * dim, 1), 0),
    bytes: stored.reduce((sum, { bytes }) => sum + bytes, 0),
    dtype: dtypesByBytes(stored)[0],
    file: file.path,
  }
}

const WEIGHT_DTYPES: readonly StoredDtype[] = ['F16', 'BF16', 'F32', 'F64', 'F8_E4M3', 'F8_E5M2']

/** Files also hold indices, such as position ids. */
function isWeight({ dtype }: StoredTensor): boolean {
  return WEIGHT_DTYPES.includes(dtype)
}

/** The dtypes, those with the most bytes first. */
function dtypesByBytes(parts: readonly { readonly dtype: string; readonly bytes: number }[]): string[] {
  const bytes = new Map<string, number>()
  for (const part of parts) bytes.set(part.dtype, (bytes.get(part.dtype) ?? 0) + part.bytes)
  return [...bytes].sort(([, a], [, b]) => b - a).map(([dtype]) => dtype)
}
