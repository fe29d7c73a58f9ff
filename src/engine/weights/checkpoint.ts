import { existsSync, realpathSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { z } from 'zod'
import { SwiftdError } from '../errors.js'
import { diffusersVaeNames } from './diffusers-names.js'
import { findWeights } from './find-weights.js'
import { refusePickle } from './pickle.js'
import type { SafetensorsFile } from './safetensors.js'
import { configurationBeside, openSingleFile } from './single-file.js'
import { openVaeComponent } from './vae-file.js'
import type { NameMapping } from './weights.js'
import {
  readConfig,
  readTextEncoderConfig,
  readUnetConfig,
  readVaeConfig,
  type TextEncoderConfig,
  type UnetConfig,
  type VaeConfig,
} from './config.js'

/** A component of a checkpoint: how its network looks, and the file that holds its weights. */
export interface Component<Config> {
  readonly config: Config
  /** A .safetensors file. */
  readonly weightsPath: string
  /** How the file, once it is open, names the component's tensors. */
  readonly names: (file: SafetensorsFile) => NameMapping
}

export interface TextComponent extends Component<TextEncoderConfig> {
  /** Folder of the tokenizer that belongs to this encoder. */
  readonly tokenizerDirectory: string
}

/** Families differ in how prompts condition the UNet: one encoder, or two with pooled embeddings and size ids. */
export type Family = 'sd' | 'sdxl'

/** A base model: everything that is known of it without reading its weights. */
export interface Checkpoint {
  /** The real path of the folder or file: its identity. */
  readonly path: string
  /** The name of the folder or file, for people. */
  readonly name: string
  readonly family: Family
  /** One text encoder, or two for SDXL, in the order in which their hidden states are joined. */
  readonly textEncoders: readonly TextComponent[]
  readonly unet: Component<UnetConfig>
  readonly vae: Component<VaeConfig>
  /** The scheduler that the model's authors configured. */
  readonly scheduler: { readonly class: string; readonly config: Readonly<Record<string, unknown>> }
  /** Whether a missing negative prompt means all-zero embeddings (SDXL) instead of the empty prompt. */
  readonly forceZerosForEmptyPrompt: boolean
  /** Pixels for each latent in each direction. */
  readonly vaeScale: number
}

export interface CheckpointOptions {
  /** Prefer files named `*.<variant>.safetensors`, such as fp16. */
  readonly variant?: string
  /**
   * For single files: a diffusers folder, with or without weights, that says what a file's tensors cannot.
   * @default the folder beside the file that has its name without the ending, if there is one
   */
  readonly configuration?: string
  /** An autoencoder to use instead of the model's own, or where it has none: a diffusers folder or a single file. */
  readonly vae?: string
}

const sameNames = (): NameMapping => (name) => ({ name })

/** Pipelines whose folders have the parts that swiftd runs. */
export const PIPELINES = [
  'StableDiffusionPipeline',
  'StableDiffusionImg2ImgPipeline',
  'StableDiffusionInpaintPipeline',
  'StableDiffusionXLPipeline',
  'StableDiffusionXLImg2ImgPipeline',
  'StableDiffusionXLInpaintPipeline',
]

const part = z.tuple([z.string().nullable(), z.string().nullable()]).optional()
const modelIndex = z.object({
  _class_name: z.string(),
  text_encoder: part,
  text_encoder_2: part,
  force_zeros_for_empty_prompt: z.boolean().default(true),
})

const schedulerConfig = z.looseObject({
  _class_name: z.string(),
  num_train_timesteps: z.int().min(1).max(100_000).optional(),
  beta_start: z.number().positive().max(1).optional(),
  beta_end: z.number().positive().max(1).optional(),
  steps_offset: z.int().min(0).max(1000).optional(),
  prediction_type: z.enum(['epsilon', 'v_prediction', 'sample']).optional(),
  timestep_spacing: z.enum(['leading', 'trailing', 'linspace']).optional(),
})

/**
 * Opens a base model, a diffusers folder or a single .safetensors file, without reading its weights.
 * @throws SwiftdError MODEL_NOT_FOUND if there is nothing there; INVALID_CONFIG if a JSON file has missing or impossible
 * values; INVALID_WEIGHTS if a weights file is missing or damaged; UNSUPPORTED_MODEL if it is a model of another kind
 */
export function openCheckpoint(path: string, options: CheckpointOptions = {}): Checkpoint {
  const checkpoint = openBase(path, options)
  checkParts(checkpoint)
  if (!options.vae) return checkpoint
  const vae = openVaeComponent(options.vae, checkpoint.vae.config)
  checkVaeFits(options.vae, vae.config, checkpoint)
  return { ...checkpoint, vae }
}

/** An autoencoder of another model must know the same latents, in number of channels and in size. */
function checkVaeFits(path: string, vae: VaeConfig, { name, unet, vaeScale }: Checkpoint): void {
  const scale = vaeScaleOf(vae)
  const channels = unet.config.out_channels
  if (vae.latent_channels === channels && scale === vaeScale) return
  const [made, wanted] = [`${vae.latent_channels} channels at 1/${scale}`, `${channels} channels at 1/${vaeScale}`]
  const sentence = `The autoencoder (VAE) ${path} makes latents of ${made} of the size, but the model "${name}" needs ${wanted}`
  throw new SwiftdError('INVALID_WEIGHTS', `${sentence}; use one for its family.`)
}

/** Pixels for each latent: every level but the last halves the size. */
export function vaeScaleOf({ block_out_channels: levels }: VaeConfig): number {
  return 2 ** (levels.length - 1)
}

function openBase(path: string, { variant, configuration, vae }: CheckpointOptions): Checkpoint {
  if (!existsSync(path)) throw new SwiftdError('MODEL_NOT_FOUND', `There is no model at ${path}.`)
  const real = realpathSync(path)
  if (statSync(real).isDirectory()) return openFolder(real, (name) => join(real, name), variant)
  refusePickle(real)
  const folder = configuration ?? configurationBeside(real)
  const configured = folder === undefined ? undefined : openFolder(realpathSync(folder), () => undefined, undefined)
  return openSingleFile(real, configured, vae === undefined)
}

/** Reads and validates the JSON files of a diffusers folder. `weightsIn` says where a component's weights are looked for. */
function openFolder(
  path: string,
  weightsIn: (component: string) => string | undefined,
  variant: string | undefined,
): Checkpoint {
  if (!existsSync(join(path, 'model_index.json'))) {
    throw new SwiftdError(
      'MODEL_NOT_FOUND',
      `${path} is not a diffusers model folder: it has no model_index.json. Give the folder that contains unet/ and vae/.`,
    )
  }
  const index = readConfig(join(path, 'model_index.json'), modelIndex)
  if (!PIPELINES.includes(index._class_name)) {
    const known = 'Stable Diffusion 1.x, 2.x and SDXL'
    throw new SwiftdError('UNSUPPORTED_MODEL', `${path} is a ${index._class_name}; swiftd runs ${known} models.`)
  }
  const scheduler = readConfig(join(path, 'scheduler', 'scheduler_config.json'), schedulerConfig)
  const component = <Config>(name: string, file: string, read: (path: string) => Config): Component<Config> => {
    const directory = weightsIn(name)
    return {
      config: read(join(path, name, 'config.json')),
      weightsPath: directory === undefined ? '' : findWeights(directory, file, variant),
      names: sameNames,
    }
  }
  const textEncoder = (suffix: string): TextComponent => ({
    ...component(`text_encoder${suffix}`, 'model', readTextEncoderConfig),
    tokenizerDirectory: join(path, `tokenizer${suffix}`),
  })
  const vae = { ...component('vae', 'diffusion_pytorch_model', readVaeConfig), names: diffusersVaeNames }
  return {
    path,
    name: basename(path),
    family: index.text_encoder_2?.[1] ? 'sdxl' : 'sd',
    textEncoders: [
      ...(index.text_encoder?.[1] ? [textEncoder('')] : []),
      ...(index.text_encoder_2?.[1] ? [textEncoder('_2')] : []),
    ],
    unet: component('unet', 'diffusion_pytorch_model', readUnetConfig),
    vae,
    scheduler: { class: scheduler._class_name, config: scheduler },
    forceZerosForEmptyPrompt: index.force_zeros_for_empty_prompt,
    vaeScale: vaeScaleOf(vae.config),
  }
}

/** The size in pixels that the model was made for. */
export function nativeSize({ unet, vaeScale }: Checkpoint): { width: number; height: number } {
  const [height, width] = [unet.config.sample_size].flat()
  return { width: (width ?? height) * vaeScale, height: height * vaeScale }
}

/** Parts that do not belong together fail here with a sentence, and not in the middle of a graph. */
function checkParts(checkpoint: Checkpoint): void {
  const { path, textEncoders, unet, vae } = checkpoint
  const problem = (sentence: string): never => {
    throw new SwiftdError('INVALID_CONFIG', `${path} cannot be used: ${sentence}.`)
  }
  const promptWidth = textEncoders.reduce((sum, { config }) => sum + config.hidden_size, 0)
  const expected = unet.config.cross_attention_dim[0]
  if (promptWidth !== expected) {
    problem(`its text encoders are ${promptWidth} wide, but the UNet's cross_attention_dim is ${expected}`)
  }
  if (unet.config.out_channels !== vae.config.latent_channels) {
    problem(
      `its UNet has ${unet.config.out_channels} out_channels, but the VAE ${vae.config.latent_channels} latent_channels`,
    )
  }
  const wantsPooled = unet.config.addition_embed_type === 'text_time'
  if (wantsPooled !== (checkpoint.family === 'sdxl')) {
    problem(`its UNet's addition_embed_type does not fit its ${textEncoders.length} text encoders`)
  }
  if (wantsPooled) {
    const pooled = textEncoders[textEncoders.length - 1].config.projection_dim ?? 0
    const width = pooled + 6 * (unet.config.addition_time_embed_dim ?? 0)
    const declared = unet.config.projection_class_embeddings_input_dim
    if (width !== declared) problem(`projection_class_embeddings_input_dim is ${declared}, but its parts need ${width}`)
  }
}
