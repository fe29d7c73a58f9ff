import { SwiftdError } from '../errors.js'
import {
  parseTextEncoderConfig,
  parseUnetConfig,
  parseVaeConfig,
  type TextEncoderConfig,
  type UnetConfig,
  type VaeConfig,
} from './config.js'
import { ORIGINAL_PREFIX } from './original-names.js'
import { ofLayout, type SafetensorsFile } from './safetensors.js'

/**
 * Reads a network's architecture from the names and shapes of a single file's tensors.
 *
 * Sizes, depths and the places of attention are all there. Heads, norm groups, activations and scaling factors are not:
 * they follow the published models (SD1.x has 8 heads everywhere; SD2.x and SDXL have 64 channels for each head; group
 * norms have 32 groups). A model that departs from that needs a configuration folder.
 */

const HEAD_WIDTH = 64
const SD1_HEADS = 8
const SD1_PROMPT_WIDTH = 768
const NORM_GROUPS = 32
const SDXL_TIME_IDS = 6
const VAE_SCALING = { sd: 0.18215, sdxl: 0.13025 }

/** Access to the shapes under a prefix. */
interface Shapes {
  /** The shape of a tensor that must be there. */
  of(name: string): readonly number[]
  has(name: string): boolean
  /** How many numbers n, from 0 on, have a tensor of that name. */
  count(name: (n: number) => string): number
}

function shapesUnder(file: SafetensorsFile, prefix: string): Shapes {
  const has = (name: string): boolean => file.tensors.has(prefix + name)
  return {
    has,
    of(name) {
      const tensor = file.tensors.get(prefix + name)
      if (tensor) return tensor.shape
      throw new SwiftdError('INVALID_WEIGHTS', `${file.path} has no tensor "${prefix}${name}"; download it again.`)
    },
    count(name) {
      let n = 0
      while (has(name(n))) n++
      return n
    },
  }
}

/** The UNet of a single file. */
export const detectUnet = ofLayout((file): UnetConfig => {
  const shapes = shapesUnder(file, ORIGINAL_PREFIX.unet)
  const trunk = detectTrunk(file, shapes)
  const up = [...trunk.down_block_types].reverse()
  return parseUnetConfig(file.path, {
    ...trunk,
    out_channels: shapes.of('out.2.weight')[0],
    sample_size: trunk.addition_embed_type ? 128 : trunk.cross_attention_dim === SD1_PROMPT_WIDTH ? 64 : 96,
    up_block_types: up.map((type) => (type === 'DownBlock2D' ? 'UpBlock2D' : 'CrossAttnUpBlock2D')),
  })
})

function detectTrunk(file: SafetensorsFile, shapes: Shapes) {
  const blocks = detectDownBlocks(shapes)
  const widths = blocks.map((block) => block.width)
  const attention = 'middle_block.1'
  const midDepth = shapes.count((n) => `${attention}.transformer_blocks.${n}.norm1.weight`)
  const promptWidth = shapes.of(`${attention}.transformer_blocks.0.attn2.to_k.weight`)[1]
  const joined = shapes.has('label_emb.0.0.weight') ? shapes.of('label_emb.0.0.weight')[1] : undefined
  return {
    in_channels: shapes.of('input_blocks.0.0.weight')[1],
    block_out_channels: widths,
    down_block_types: blocks.map(({ depth }) =>
      depth > 0 ? ('CrossAttnDownBlock2D' as const) : ('DownBlock2D' as const),
    ),
    layers_per_block: blocks.map(({ layers }) => layers),
    // A last block without attention still says how deep the mid block's is.
    transformer_layers_per_block: blocks.map(({ depth }, index) =>
      index === blocks.length - 1 ? midDepth : Math.max(depth, 1),
    ),
    cross_attention_dim: promptWidth,
    attention_head_dim: widths.map((width) => (promptWidth === SD1_PROMPT_WIDTH ? SD1_HEADS : headsFor(file, width))),
    norm_num_groups: groupsFor(file, widths),
    use_linear_projection: shapes.of(`${attention}.proj_in.weight`).length === 2,
    ...(joined !== undefined && {
      addition_embed_type: 'text_time',
      projection_class_embeddings_input_dim: joined,
      addition_time_embed_dim: 256,
    }),
  }
}

interface DownBlock {
  readonly width: number
  readonly layers: number
  /** Transformer layers; 0 without attention. */
  readonly depth: number
}

/** Walks the input blocks: residual layers, closed by a downsampler in every block but the last. */
function detectDownBlocks(shapes: Shapes): DownBlock[] {
  const blocks: DownBlock[] = []
  let layers = 0
  let block = { width: 0, depth: 0 }
  for (let index = 1; ; index++) {
    const at = `input_blocks.${index}`
    if (shapes.has(`${at}.0.in_layers.2.weight`)) {
      const depth = shapes.count((n) => `${at}.1.transformer_blocks.${n}.norm1.weight`)
      block = { width: shapes.of(`${at}.0.in_layers.2.weight`)[0], depth }
      layers++
      continue
    }
    if (layers > 0) blocks.push({ ...block, layers })
    if (!shapes.has(`${at}.0.op.weight`)) return blocks
    layers = 0
  }
}

/** The autoencoder of a single file, under a prefix. */
export function detectVae(file: SafetensorsFile, family: 'sd' | 'sdxl', prefix: string): VaeConfig {
  const shapes = shapesUnder(file, prefix)
  const levels = shapes.count((n) => `encoder.down.${n}.block.0.conv1.weight`)
  const widths = Array.from({ length: levels }, (_, n) => shapes.of(`encoder.down.${n}.block.0.conv1.weight`)[0])
  return parseVaeConfig(file.path, {
    block_out_channels: widths,
    down_block_types: widths.map(() => 'DownEncoderBlock2D'),
    up_block_types: widths.map(() => 'UpDecoderBlock2D'),
    latent_channels: shapes.of('post_quant_conv.weight')[0],
    layers_per_block: shapes.count((n) => `encoder.down.0.block.${n}.conv1.weight`),
    norm_num_groups: groupsFor(file, widths),
    scaling_factor: VAE_SCALING[family],
  })
}

/** A transformers CLIP text model under a prefix. */
export function detectClip(file: SafetensorsFile, prefix: string): TextEncoderConfig {
  const shapes = shapesUnder(file, `${prefix}text_model.`)
  const [vocabulary, width] = shapes.of('embeddings.token_embedding.weight')
  return parseTextEncoderConfig(file.path, {
    architectures: ['CLIPTextModel'],
    hidden_act: 'quick_gelu',
    hidden_size: width,
    intermediate_size: shapes.of('encoder.layers.0.mlp.fc1.weight')[0],
    max_position_embeddings: shapes.of('embeddings.position_embedding.weight')[0],
    num_attention_heads: headsFor(file, width),
    num_hidden_layers: shapes.count((n) => `encoder.layers.${n}.layer_norm1.weight`),
    vocab_size: vocabulary,
  })
}

/**
 * An OpenCLIP text model under a prefix.
 * @param unusedLayers layers at the end that the model does not use (SD2.x was trained on the last but one)
 */
export function detectOpenClip(file: SafetensorsFile, prefix: string, unusedLayers: number): TextEncoderConfig {
  const shapes = shapesUnder(file, prefix)
  const [vocabulary, width] = shapes.of('token_embedding.weight')
  const projected = unusedLayers === 0
  return parseTextEncoderConfig(file.path, {
    architectures: [projected ? 'CLIPTextModelWithProjection' : 'CLIPTextModel'],
    hidden_act: 'gelu',
    hidden_size: width,
    intermediate_size: shapes.of('transformer.resblocks.0.mlp.c_fc.weight')[0],
    max_position_embeddings: shapes.of('positional_embedding')[0],
    num_attention_heads: headsFor(file, width),
    num_hidden_layers: shapes.count((n) => `transformer.resblocks.${n}.ln_1.weight`) - unusedLayers,
    ...(projected && { projection_dim: shapes.of('text_projection')[1] }),
    vocab_size: vocabulary,
  })
}

/** The width of SDXL's size ids, which the joined embedding leaves besides the pooled prompt. */
export function timeIdWidth(joined: number, pooled: number): number {
  return (joined - pooled) / SDXL_TIME_IDS
}

function headsFor(file: SafetensorsFile, width: number): number {
  if (width % HEAD_WIDTH === 0) return width / HEAD_WIDTH
  throw unusual(file, `${width} channels are no multiple of ${HEAD_WIDTH}, so the number of attention heads is unknown`)
}

function groupsFor(file: SafetensorsFile, widths: readonly number[]): number {
  const odd = widths.find((width) => width % NORM_GROUPS !== 0)
  if (odd === undefined) return NORM_GROUPS
  throw unusual(file, `${odd} channels are no multiple of ${NORM_GROUPS}, so the number of norm groups is unknown`)
}

function unusual(file: SafetensorsFile, reason: string): SwiftdError {
  const advice =
    'put its configuration (a diffusers folder, with or without weights) beside it under its name without the ending, or add it with "swiftd model add --config FOLDER"'
  return new SwiftdError('UNSUPPORTED_MODEL', `${file.path} has an unusual architecture: ${reason}; ${advice}.`)
}
