import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { SwiftdError } from '../errors.js'

/**
 * The config.json files of a diffusers folder: exactly the fields that shape a graph, with bounds that no real network
 * exceeds. Fields that would change the network in a way the graphs do not know are refused by name.
 */

const size = z.int().min(1).max(65_536)
const channels = z.int().min(1).max(16_384)
const layers = z.int().min(1).max(64)
const perBlock = <T extends z.ZodType>(item: T) => z.union([item, z.array(item).min(1).max(8)])
/** A field that must be absent, null or `value`: anything else is a network that swiftd does not build. */
const only = <T extends z.core.util.Literal>(value: T) =>
  z
    .union([z.literal(value), z.null()])
    .optional()
    .transform(() => undefined)
const absent = only(null)
/** A field that some files leave out and others have as null, which must not make two architectures of one. */
const optional = <T extends z.ZodType>(item: T) => item.nullish().transform((value) => value ?? undefined)

const trunk = {
  act_fn: z.literal('silu').default('silu'),
  attention_head_dim: perBlock(z.int().min(1).max(1024)).default(8),
  num_attention_heads: perBlock(z.int().min(1).max(1024)).nullish(),
  block_out_channels: z.array(channels).min(1).max(8),
  cross_attention_dim: perBlock(channels),
  in_channels: z.int().min(1).max(64),
  layers_per_block: perBlock(layers).default(2),
  transformer_layers_per_block: perBlock(layers).default(1),
  norm_num_groups: z.int().min(1).max(1024).default(32),
  norm_eps: z.number().positive().max(1).default(1e-5),
  flip_sin_to_cos: z.boolean().default(true),
  freq_shift: z.number().min(0).max(1).default(0),
  use_linear_projection: z.boolean().default(false),
  down_block_types: z
    .array(z.enum(['DownBlock2D', 'CrossAttnDownBlock2D']))
    .min(1)
    .max(8),
  addition_embed_type: optional(z.literal('text_time')),
  addition_time_embed_dim: optional(size),
  projection_class_embeddings_input_dim: optional(size),
  center_input_sample: only(false),
  class_embed_type: absent,
  encoder_hid_dim_type: absent,
  only_cross_attention: only(false),
  dual_cross_attention: only(false),
  mid_block_scale_factor: only(1),
  downsample_padding: only(1),
  resnet_time_scale_shift: only('default'),
}

/** Fields that must agree with each other. */
function consistent(config: z.infer<z.ZodObject<typeof trunk>>, context: z.RefinementCtx): void {
  const problem = (path: string, message: string): void => context.addIssue({ code: 'custom', path: [path], message })
  const count = config.block_out_channels.length
  if (config.down_block_types.length !== count) {
    problem('down_block_types', `has ${config.down_block_types.length} entries for ${count} block_out_channels`)
  }
  for (const field of [
    'attention_head_dim',
    'num_attention_heads',
    'layers_per_block',
    'transformer_layers_per_block',
    'cross_attention_dim',
  ] as const) {
    const value = config[field]
    if (Array.isArray(value) && value.length !== count) {
      problem(field, `has ${value.length} entries for ${count} block_out_channels`)
    }
  }
  for (const width of config.block_out_channels) {
    if (width % config.norm_num_groups !== 0) {
      problem('norm_num_groups', `of ${config.norm_num_groups} does not divide ${width} channels`)
    }
  }
  config.block_out_channels.forEach((width, index) => {
    const heads = atBlock(config.num_attention_heads ?? config.attention_head_dim, index)
    if (config.down_block_types[index] === 'CrossAttnDownBlock2D' && width % heads !== 0) {
      problem('attention_head_dim', `of ${heads} heads does not divide ${width} channels`)
    }
  })
  if (config.addition_embed_type === 'text_time') {
    if (!config.addition_time_embed_dim) problem('addition_time_embed_dim', 'is missing')
    if (!config.projection_class_embeddings_input_dim) problem('projection_class_embeddings_input_dim', 'is missing')
  }
}

/** Spells settings out for each block, so that equal networks have equal configs however they are written. */
function spellOut<T extends z.infer<z.ZodObject<typeof trunk>>>(config: T) {
  const each = <Item>(setting: Item | readonly Item[]): Item[] =>
    config.block_out_channels.map((_, block) => atBlock(setting, block))
  const { num_attention_heads: heads, attention_head_dim: misnomer, ...rest } = config
  return {
    ...rest,
    /** Attention heads at each block. diffusers' attention_head_dim is the NUMBER of heads, kept for old files. */
    heads: each(heads ?? misnomer),
    cross_attention_dim: each(config.cross_attention_dim),
    layers_per_block: each(config.layers_per_block),
    transformer_layers_per_block: each(config.transformer_layers_per_block),
  }
}

const unetSchema = z
  .object({
    ...trunk,
    out_channels: z.int().min(1).max(64).default(4),
    sample_size: z.union([size, z.array(size).length(2)]).default(64),
    mid_block_type: only('UNetMidBlock2DCrossAttn'),
    up_block_types: z
      .array(z.enum(['UpBlock2D', 'CrossAttnUpBlock2D']))
      .min(1)
      .max(8),
    conv_in_kernel: only(3),
    conv_out_kernel: only(3),
    resnet_out_scale_factor: only(1),
    resnet_skip_time_act: only(false),
    time_embedding_type: only('positional'),
    time_embedding_dim: absent,
    time_embedding_act_fn: absent,
    timestep_post_act: absent,
    time_cond_proj_dim: absent,
    cross_attention_norm: absent,
    reverse_transformer_layers_per_block: absent,
    attention_type: only('default'),
    class_embeddings_concat: only(false),
    mid_block_only_cross_attention: absent,
  })
  .superRefine((config, context) => {
    consistent(config, context)
    if (config.up_block_types.length !== config.block_out_channels.length) {
      const message = `has ${config.up_block_types.length} entries for ${config.block_out_channels.length} block_out_channels`
      context.addIssue({ code: 'custom', path: ['up_block_types'], message })
    }
  })
  .transform(spellOut)

/** Published folders leave out what diffusers' ControlNetModel has as its default. */
const controlNetSchema = z
  .object({
    ...trunk,
    in_channels: trunk.in_channels.default(4),
    block_out_channels: trunk.block_out_channels.default([320, 640, 1280, 1280]),
    cross_attention_dim: trunk.cross_attention_dim.default(1280),
    down_block_types: trunk.down_block_types.default([
      'CrossAttnDownBlock2D',
      'CrossAttnDownBlock2D',
      'CrossAttnDownBlock2D',
      'DownBlock2D',
    ]),
    mid_block_type: only('UNetMidBlock2DCrossAttn'),
    conditioning_channels: z.int().min(1).max(64).default(3),
    conditioning_embedding_out_channels: z.array(channels).min(1).max(8).default([16, 32, 96, 256]),
    controlnet_conditioning_channel_order: z.enum(['rgb', 'bgr']).default('rgb'),
    global_pool_conditions: only(false),
  })
  .superRefine(consistent)
  .transform(spellOut)

/** What tells the autoencoders of SD1.x and SD2.x from all others. */
const SD_SCALING_FACTOR = 0.18215

const vaeSchema = z
  .object({
    act_fn: z.literal('silu').default('silu'),
    block_out_channels: z.array(channels).min(1).max(8),
    down_block_types: z.array(z.literal('DownEncoderBlock2D')).min(1).max(8),
    up_block_types: z.array(z.literal('UpDecoderBlock2D')).min(1).max(8),
    in_channels: z.literal(3).default(3),
    out_channels: z.literal(3).default(3),
    latent_channels: z.int().min(1).max(64).default(4),
    layers_per_block: layers.default(1),
    norm_num_groups: z.int().min(1).max(1024).default(32),
    sample_size: size.default(512),
    scaling_factor: z.number().positive().max(1000).default(SD_SCALING_FACTOR),
    // diffusers declares this flag as a float.
    force_upcast: optional(z.union([z.boolean(), z.number()])),
    shift_factor: absent,
    latents_mean: absent,
    latents_std: absent,
    mid_block_add_attention: only(true),
    use_quant_conv: only(true),
    use_post_quant_conv: only(true),
  })
  .superRefine((config, context) => {
    for (const width of config.block_out_channels) {
      if (width % config.norm_num_groups !== 0) {
        const message = `of ${config.norm_num_groups} does not divide ${width} channels`
        context.addIssue({ code: 'custom', path: ['norm_num_groups'], message })
      }
    }
  })
  .transform(({ force_upcast: flag, ...config }) => ({
    ...config,
    /**
     * Whether half precision does not do. diffusers' pipelines for SD1.x and SD2.x never ask, although files that it saved
     * anew say so of their autoencoders, too; its others do, and where the flag is missing AutoencoderKL has it as true.
     */
    force_upcast: config.scaling_factor !== SD_SCALING_FACTOR && Boolean(flag ?? true),
  }))

const textEncoderSchema = z
  .object({
    architectures: z.array(z.string()).default([]),
    hidden_act: z.enum(['quick_gelu', 'gelu']).default('quick_gelu'),
    hidden_size: channels,
    intermediate_size: z.int().min(1).max(65_536),
    layer_norm_eps: z.number().positive().max(1).default(1e-5),
    max_position_embeddings: z.int().min(2).max(4096).default(77),
    num_attention_heads: z.int().min(1).max(1024),
    num_hidden_layers: z.int().min(1).max(128),
    projection_dim: channels.default(512),
    eos_token_id: z.int().min(0).default(2),
    vocab_size: z.int().min(1).max(1_000_000),
  })
  .superRefine((config, context) => {
    if (config.hidden_size % config.num_attention_heads !== 0) {
      const message = `of ${config.num_attention_heads} does not divide hidden_size ${config.hidden_size}`
      context.addIssue({ code: 'custom', path: ['num_attention_heads'], message })
    }
  })
  .transform(({ architectures, projection_dim, ...config }) => ({
    ...config,
    /** Width of the projected pooled vector; null for encoders without a projection. */
    projection_dim: architectures.includes('CLIPTextModelWithProjection') ? projection_dim : null,
  }))

export type TrunkConfig = ReturnType<typeof spellOut<z.infer<z.ZodObject<typeof trunk>>>>
export type UnetConfig = z.infer<typeof unetSchema>
export type ControlNetConfig = z.infer<typeof controlNetSchema>
export type VaeConfig = z.infer<typeof vaeSchema>
export type TextEncoderConfig = z.infer<typeof textEncoderSchema>

/** Reads a UNet2DConditionModel's config.json. Throws SwiftdError INVALID_CONFIG, naming the file and every bad field. */
export const readUnetConfig = (path: string): UnetConfig => readConfig(path, unetSchema)
/** Reads a ControlNetModel's config.json; errors as `readUnetConfig`. */
export const readControlNetConfig = (path: string): ControlNetConfig => readConfig(path, controlNetSchema)
/** Reads an AutoencoderKL's config.json; errors as `readUnetConfig`. */
export const readVaeConfig = (path: string): VaeConfig => readConfig(path, vaeSchema)
/** Reads a CLIP text encoder's config.json; errors as `readUnetConfig`. */
export const readTextEncoderConfig = (path: string): TextEncoderConfig => readConfig(path, textEncoderSchema)

/** The same checks for configs that come from somewhere else; `source` is what an error names. */
export const parseUnetConfig = (source: string, json: unknown): UnetConfig => parseConfig(source, json, unetSchema)
export const parseControlNetConfig = (source: string, json: unknown): ControlNetConfig =>
  parseConfig(source, json, controlNetSchema)
export const parseVaeConfig = (source: string, json: unknown): VaeConfig => parseConfig(source, json, vaeSchema)
export const parseTextEncoderConfig = (source: string, json: unknown): TextEncoderConfig =>
  parseConfig(source, json, textEncoderSchema)

/**
 * Reads and validates a JSON file.
 * @throws SwiftdError INVALID_CONFIG that names the file and every field that is wrong
 */
export function readConfig<T>(path: string, schema: z.ZodType<T>): T {
  return parseConfig(path, readJson(path), schema)
}

function parseConfig<T>(path: string, json: unknown, schema: z.ZodType<T>): T {
  const result = schema.safeParse(json)
  if (result.success) return result.data
  const problems = result.error.issues.slice(0, 4).map((issue) => describeIssue(json, issue))
  throw new SwiftdError('INVALID_CONFIG', `${path} cannot be used: ${problems.join('; ')}.`)
}

function readJson(path: string): unknown {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new SwiftdError('INVALID_CONFIG', `Cannot read ${path}: ${messageOf(error)}.`, { cause: error })
  }
  try {
    return parsePythonJson(text)
  } catch (error) {
    throw new SwiftdError('INVALID_CONFIG', `${path} is not valid JSON: ${messageOf(error)}.`, { cause: error })
  }
}

/**
 * Python writes numbers that JSON does not have, as in a published scheduler's "lambda_min_clipped": -Infinity. They mean
 * that there is no limit, which null says as well.
 */
function parsePythonJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return JSON.parse(text.replace(/(?<=[:[,]\s*)(?:-?Infinity|NaN)(?=\s*[,}\]])/g, 'null'))
  }
}

function describeIssue(json: unknown, issue: z.core.$ZodIssue): string {
  const field = issue.path.join('.') || 'the file'
  const value = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], json)
  if (value === undefined && issue.code !== 'custom') return `${field} is missing`
  const shown = JSON.stringify(value)
  if (issue.code === 'custom') return `${field} ${issue.message}`
  return `${field} is ${shown && shown.length > 60 ? `${shown.slice(0, 60)}…` : shown} (${issue.message})`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The value that a setting has at block `index`, where it may be one for all. */
export function atBlock<T>(setting: T | readonly T[], index: number): T {
  return Array.isArray(setting) ? (setting as readonly T[])[index] : (setting as T)
}
