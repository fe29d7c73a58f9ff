import type { GraphBuilder, Value } from './builder.js'
import { attention } from './attention.js'
import {
  conv,
  gatedLinear,
  imageToTokens,
  layerNorm,
  linear,
  pointwise,
  sequenceShape,
  tokensToImage,
} from './layers.js'
import { groupNorm, hasFusedNorm, normedTokens, type ImageTokens, type NormSettings } from './norms.js'

/** Residual blocks and transformers of UNets, ControlNets and autoencoders, named as diffusers names them. */

/**
 * ResnetBlock2D: (N, from, H, W) to (N, to, H, W).
 * @param activatedTime silu(time embedding), (N, width), or undefined where the block has no time input (autoencoders)
 */
export function resnetBlock(
  g: GraphBuilder,
  x: Value,
  name: string,
  channels: { readonly from: number; readonly to: number },
  norm: NormSettings,
  activatedTime?: { readonly value: Value; readonly width: number },
): Value {
  const { from, to } = channels
  let hidden = groupNorm(g, x, `${name}.norm1`, from, norm, { silu: true })
  hidden = conv(g, hidden, `${name}.conv1`, from, to)
  const shift = activatedTime && linear(g, activatedTime.value, `${name}.time_emb_proj`, activatedTime.width, to)
  hidden = groupNorm(g, hidden, `${name}.norm2`, to, norm, { shift, silu: true })
  hidden = conv(g, hidden, `${name}.conv2`, to, to)
  const shortcut = from === to ? x : conv(g, x, `${name}.conv_shortcut`, from, to, { kernel: 1 })
  return g.node('Add', [shortcut, hidden])
}

/** The prompt, as the transformers read it. */
export interface PromptContext {
  /** Flattened encoder hidden states, (N * S, width). */
  readonly tokens: Value
  readonly width: number
}

export interface TransformerSettings {
  readonly channels: number
  readonly heads: number
  readonly layers: number
  readonly groups: number
  /** Whether proj_in and proj_out are linear layers (SD2.x, SDXL) or 1x1 convolutions (SD1.x). */
  readonly linearProjection: boolean
}

/** Epsilon of Transformer2DModel's group norm; diffusers fixes it, whatever the config's norm_eps. */
const TRANSFORMER_NORM_EPSILON = 1e-6
const LAYER_NORM_EPSILON = 1e-5

/** Transformer2DModel: self-attention, cross-attention to the prompt and a gated feed-forward, `layers` times. */
export function transformer(
  g: GraphBuilder,
  x: Value,
  name: string,
  context: PromptContext,
  { channels, heads, layers, groups, linearProjection }: TransformerSettings,
): Value {
  const norm = { groups, epsilon: TRANSFORMER_NORM_EPSILON }
  const image = project(g, x, name, channels, norm, linearProjection)
  const { sequence } = image
  let { tokens } = image
  for (let index = 0; index < layers; index++) {
    tokens = transformerLayer(g, tokens, `${name}.transformer_blocks.${index}`, context, { channels, heads, sequence })
  }
  return g.node('Add', [image.toImage(tokens), x])
}

/** A transformer's entrance (norm, proj_in) and its exit (proj_out). */
function project(
  g: GraphBuilder,
  x: Value,
  name: string,
  channels: number,
  norm: NormSettings,
  linearProjection: boolean,
): ImageTokens {
  if (linearProjection || hasFusedNorm(g, channels, norm)) {
    // Where the norm gives tokens, a 1x1 convolution would have to turn them into an image and back.
    const product = linearProjection ? linear : pointwise
    const { tokens, sequence, toImage } = normedTokens(g, x, `${name}.norm`, channels, norm)
    return {
      tokens: product(g, tokens, `${name}.proj_in`, channels, channels),
      sequence,
      toImage: (back) => toImage(product(g, back, `${name}.proj_out`, channels, channels)),
    }
  }
  const sequence = sequenceShape(g, x, channels)
  const normal = groupNorm(g, x, `${name}.norm`, channels, norm)
  const convolution = (image: Value, part: string): Value =>
    conv(g, image, `${name}.${part}`, channels, channels, { kernel: 1 })
  return {
    tokens: imageToTokens(g, convolution(normal, 'proj_in'), channels),
    sequence,
    toImage: (back) => convolution(tokensToImage(g, back, x, sequence), 'proj_out'),
  }
}

/** BasicTransformerBlock on flattened tokens. */
function transformerLayer(
  g: GraphBuilder,
  tokens: Value,
  name: string,
  context: PromptContext,
  { channels, heads, sequence }: { channels: number; heads: number; sequence: Value },
): Value {
  const attend = (query: Value, from: Value, width: number, part: string, wide = false): Value => {
    const q = linear(g, query, `${part}.to_q`, channels, channels, false)
    const k = linear(g, from, `${part}.to_k`, width, channels, false)
    const v = linear(g, from, `${part}.to_v`, width, channels, false)
    const attended = attention(g, [q, k, v], channels, { heads, sequence, wide })
    return linear(g, attended, `${part}.to_out.0`, channels, channels)
  }
  const norm = (x: Value, part: string): Value => layerNorm(g, x, `${name}.${part}`, channels, LAYER_NORM_EPSILON)

  const first = norm(tokens, 'norm1')
  tokens = g.node('Add', [attend(first, first, channels, `${name}.attn1`, true), tokens])
  tokens = g.node('Add', [attend(norm(tokens, 'norm2'), context.tokens, context.width, `${name}.attn2`), tokens])
  return g.node('Add', [gatedFeedForward(g, norm(tokens, 'norm3'), `${name}.ff.net`, channels), tokens])
}

/** GEGLU feed-forward. */
function gatedFeedForward(g: GraphBuilder, x: Value, name: string, channels: number): Value {
  const inner = 4 * channels
  return linear(g, gatedLinear(g, x, `${name}.0.proj`, channels, inner), `${name}.2`, inner, channels)
}
