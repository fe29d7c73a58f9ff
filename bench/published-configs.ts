/** The configuration files of the published checkpoints, for random weights of real sizes. */
import {
  parseControlNetConfig,
  parseTextEncoderConfig,
  parseUnetConfig,
  parseVaeConfig,
  type ControlNetConfig,
  type TextEncoderConfig,
  type UnetConfig,
  type VaeConfig,
} from '../src/engine/weights/config.js'

type Json = Readonly<Record<string, unknown>>

/** The JSON files of a model. */
export interface PublishedFiles {
  readonly modelIndex: Json
  readonly unet: Json
  readonly controlNet: Json
  readonly vae: Json
  /** By the name of the folder. */
  readonly textEncoders: Readonly<Record<string, Json>>
  readonly scheduler: Json
}

/** The same as the engine understands them. */
export interface PublishedModel {
  readonly files: PublishedFiles
  readonly unet: UnetConfig
  readonly controlNet: ControlNetConfig
  readonly vae: VaeConfig
  readonly textEncoders: Readonly<Record<string, TextEncoderConfig>>
}

const CROSS_DOWN = 'CrossAttnDownBlock2D'
const CROSS_UP = 'CrossAttnUpBlock2D'

const trunk = {
  act_fn: 'silu',
  flip_sin_to_cos: true,
  freq_shift: 0,
  in_channels: 4,
  layers_per_block: 2,
  norm_eps: 1e-5,
  norm_num_groups: 32,
}

const sd15Trunk = {
  ...trunk,
  attention_head_dim: 8,
  block_out_channels: [320, 640, 1280, 1280],
  cross_attention_dim: 768,
  down_block_types: [CROSS_DOWN, CROSS_DOWN, CROSS_DOWN, 'DownBlock2D'],
  transformer_layers_per_block: 1,
  use_linear_projection: false,
}

const sdxlTrunk = {
  ...trunk,
  addition_embed_type: 'text_time',
  addition_time_embed_dim: 256,
  attention_head_dim: [5, 10, 20],
  block_out_channels: [320, 640, 1280],
  cross_attention_dim: 2048,
  down_block_types: ['DownBlock2D', CROSS_DOWN, CROSS_DOWN],
  projection_class_embeddings_input_dim: 2816,
  transformer_layers_per_block: [1, 2, 10],
  use_linear_projection: true,
}

const controlNet = {
  _class_name: 'ControlNetModel',
  conditioning_channels: 3,
  conditioning_embedding_out_channels: [16, 32, 96, 256],
  controlnet_conditioning_channel_order: 'rgb',
}

const vae = {
  _class_name: 'AutoencoderKL',
  act_fn: 'silu',
  block_out_channels: [128, 256, 512, 512],
  down_block_types: Array<string>(4).fill('DownEncoderBlock2D'),
  in_channels: 3,
  latent_channels: 4,
  layers_per_block: 2,
  norm_num_groups: 32,
  out_channels: 3,
  up_block_types: Array<string>(4).fill('UpDecoderBlock2D'),
}

/** OpenAI's CLIP ViT-L/14, in SD1.5 and SDXL. */
const clipL = {
  architectures: ['CLIPTextModel'],
  eos_token_id: 2,
  hidden_act: 'quick_gelu',
  hidden_size: 768,
  intermediate_size: 3072,
  layer_norm_eps: 1e-5,
  max_position_embeddings: 77,
  num_attention_heads: 12,
  num_hidden_layers: 12,
  projection_dim: 768,
  vocab_size: 49_408,
}

/** OpenCLIP's ViT-bigG/14, in SDXL. */
const clipG = {
  ...clipL,
  architectures: ['CLIPTextModelWithProjection'],
  hidden_act: 'gelu',
  hidden_size: 1280,
  intermediate_size: 5120,
  num_attention_heads: 20,
  num_hidden_layers: 32,
  projection_dim: 1280,
}

const betas = {
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  beta_start: 0.00085,
  num_train_timesteps: 1000,
  prediction_type: 'epsilon',
  steps_offset: 1,
  timestep_spacing: 'leading',
}

const sd15: PublishedFiles = {
  modelIndex: {
    _class_name: 'StableDiffusionPipeline',
    scheduler: ['diffusers', 'PNDMScheduler'],
    text_encoder: ['transformers', 'CLIPTextModel'],
    tokenizer: ['transformers', 'CLIPTokenizer'],
    unet: ['diffusers', 'UNet2DConditionModel'],
    vae: ['diffusers', 'AutoencoderKL'],
  },
  unet: {
    _class_name: 'UNet2DConditionModel',
    ...sd15Trunk,
    out_channels: 4,
    sample_size: 64,
    up_block_types: ['UpBlock2D', CROSS_UP, CROSS_UP, CROSS_UP],
  },
  controlNet: { ...sd15Trunk, ...controlNet },
  vae: { ...vae, sample_size: 512, scaling_factor: 0.18215 },
  textEncoders: { text_encoder: clipL },
  scheduler: {
    _class_name: 'PNDMScheduler',
    ...betas,
    clip_sample: false,
    set_alpha_to_one: false,
    skip_prk_steps: true,
  },
}

const sdxl: PublishedFiles = {
  modelIndex: {
    _class_name: 'StableDiffusionXLPipeline',
    force_zeros_for_empty_prompt: true,
    scheduler: ['diffusers', 'EulerDiscreteScheduler'],
    text_encoder: ['transformers', 'CLIPTextModel'],
    text_encoder_2: ['transformers', 'CLIPTextModelWithProjection'],
    tokenizer: ['transformers', 'CLIPTokenizer'],
    tokenizer_2: ['transformers', 'CLIPTokenizer'],
    unet: ['diffusers', 'UNet2DConditionModel'],
    vae: ['diffusers', 'AutoencoderKL'],
  },
  unet: {
    _class_name: 'UNet2DConditionModel',
    ...sdxlTrunk,
    out_channels: 4,
    sample_size: 128,
    up_block_types: [CROSS_UP, CROSS_UP, 'UpBlock2D'],
  },
  controlNet: { ...sdxlTrunk, ...controlNet },
  vae: { ...vae, sample_size: 1024, scaling_factor: 0.13025 },
  textEncoders: { text_encoder: clipL, text_encoder_2: clipG },
  scheduler: {
    _class_name: 'EulerDiscreteScheduler',
    ...betas,
    interpolation_type: 'linear',
    use_karras_sigmas: false,
  },
}

const published = { sd15, sdxl } as const
export type PublishedFamily = keyof typeof published

export function publishedModel(family: PublishedFamily): PublishedModel {
  const files = published[family]
  const textEncoders = Object.entries(files.textEncoders)
  return {
    files,
    unet: parseUnetConfig(`the UNet of ${family}`, files.unet),
    controlNet: parseControlNetConfig(`the ControlNet of ${family}`, files.controlNet),
    vae: parseVaeConfig(`the autoencoder of ${family}`, files.vae),
    textEncoders: Object.fromEntries(textEncoders.map(([name, json]) => [name, parseTextEncoderConfig(name, json)])),
  }
}
