import { parseTextEncoderConfig, parseVaeConfig, type TextEncoderConfig, type VaeConfig } from './config.js'
import { groupsFor, headsFor, PUBLISHED_VAE } from './published-sizes.js'
import type { SafetensorsFile } from './safetensors.js'
import { shapesUnder } from './tensor-shapes.js'

/**
 * Reads the architecture of autoencoders and text encoders from the names and shapes of a single file's tensors; UNets and
 * ControlNets are in trunk-architecture.ts.
 *
 * Sizes, depths and the places of attention are all there. Heads, norm groups, activations and scaling factors are not:
 * they follow the published models (published-sizes.ts). A model that departs from that needs a configuration folder.
 */

const SDXL_TIME_IDS = 6
const VAE_SCALING = { sd: 0.18215, sdxl: 0.13025 }

/** What an autoencoder's shapes tell. */
export type VaeSizes = Pick<VaeConfig, 'block_out_channels' | 'latent_channels' | 'layers_per_block'>

/** Names of the first convolution of each residual layer of an autoencoder's encoder. */
const VAE_LAYERS = {
  original: (level: number, layer: number) => `encoder.down.${level}.block.${layer}.conv1.weight`,
  diffusers: (level: number, layer: number) => `encoder.down_blocks.${level}.resnets.${layer}.conv1.weight`,
}

/** The sizes of an autoencoder under a prefix, in one of two ways to name its tensors. */
export function detectVaeSizes(file: SafetensorsFile, prefix: string, format: keyof typeof VAE_LAYERS): VaeSizes {
  const shapes = shapesUnder(file, prefix)
  const layer = VAE_LAYERS[format]
  const levels = shapes.count((n) => layer(n, 0))
  return {
    block_out_channels: Array.from({ length: levels }, (_, n) => shapes.of(layer(n, 0))[0]),
    latent_channels: shapes.of('decoder.conv_in.weight')[1],
    layers_per_block: shapes.count((n) => layer(0, n)),
  }
}

/** The autoencoder of a whole model's single file. */
export function detectVae(file: SafetensorsFile, family: 'sd' | 'sdxl', prefix: string): VaeConfig {
  const sizes = detectVaeSizes(file, prefix, 'original')
  const groups = groupsFor(file.path, sizes.block_out_channels)
  return vaeConfigOf(file.path, sizes, { norm_num_groups: groups, scaling_factor: VAE_SCALING[family] })
}

/** What a model's file without an autoencoder was made for: another one has to know the same latents. */
export function publishedVae(path: string, family: 'sd' | 'sdxl'): VaeConfig {
  const { norm_num_groups, ...sizes } = PUBLISHED_VAE
  return vaeConfigOf(path, sizes, { norm_num_groups, scaling_factor: VAE_SCALING[family] })
}

/** The config of an autoencoder of these sizes; the rest is what its shapes do not tell. */
export function vaeConfigOf(
  path: string,
  sizes: VaeSizes,
  rest: Pick<VaeConfig, 'norm_num_groups' | 'scaling_factor'>,
): VaeConfig {
  return parseVaeConfig(path, {
    ...sizes,
    ...rest,
    down_block_types: sizes.block_out_channels.map(() => 'DownEncoderBlock2D'),
    up_block_types: sizes.block_out_channels.map(() => 'UpDecoderBlock2D'),
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
    num_attention_heads: headsFor(file.path, width),
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
    num_attention_heads: headsFor(file.path, width),
    num_hidden_layers: shapes.count((n) => `transformer.resblocks.${n}.ln_1.weight`) - unusedLayers,
    ...(projected && { projection_dim: shapes.of('text_projection')[1] }),
    vocab_size: vocabulary,
  })
}

/** The width of SDXL's size ids, which the joined embedding leaves besides the pooled prompt. */
export function timeIdWidth(joined: number, pooled: number): number {
  return (joined - pooled) / SDXL_TIME_IDS
}
