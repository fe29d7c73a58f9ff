import { existsSync, statSync } from 'node:fs'
import { openSafetensors, type SafetensorsFile, type StoredTensor } from '../../engine/weights/safetensors.js'
import { nativeSize, openCheckpoint, type Checkpoint, type CheckpointOptions } from '../../engine/weights/checkpoint.js'
import { ORIGINAL_PREFIX as PREFIX } from '../../engine/weights/original-names.js'
import { SwiftdError } from '../../engine/errors.js'
import type { Description } from './kind.js'
import type { ModelFamily } from './record.js'
import { dtypesByBytes, isWeight, weightsSummary } from '../../engine/weights/weights-summary.js'

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
export interface ModelDescription extends Description {
  readonly family: ModelFamily
  /** What its UNet was trained for, told by its input channels. */
  readonly task: 'text-to-image' | 'inpainting' | 'other'
  readonly components: readonly ComponentDescription[]
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
  const { dtypes, ...sizes } = weightsSummary(tensors)
  return {
    ...{ name, ...sizes, dtype: dtypes[0] },
    file: file.path,
  }
}
