import type { VaeConfig } from '../weights/config.js'
import { resnetBlock } from './blocks.js'
import { fromHost, toHost } from './borders.js'
import { createGraphBuilder, type Graph, type GraphBuilder, type Value } from './builder.js'
import { attention } from './attention.js'
import { conv, linear, upsample2x } from './layers.js'
import { groupNorm, normedTokens, type NormSettings } from './norms.js'
import { PORTABLE, type GraphTarget, type Precision } from './target.js'

/** Input and output names of the autoencoder graphs. */
export const VAE_NAMES = { latents: 'latents', image: 'image', moments: 'moments' } as const

/** Epsilon of every group norm in AutoencoderKL; diffusers fixes it. */
const NORM_EPSILON = 1e-6

/**
 * What an autoencoder computes in. Values of SDXL's exceed float16's range, which its config tells by force_upcast, and
 * diffusers keeps it in float32 for that.
 */
export function vaePrecision({ force_upcast }: VaeConfig, target: GraphTarget): Precision {
  return force_upcast && target.precision === 'float16' ? 'float32' : target.precision
}

/** What an autoencoder's graphs are built for on a device. */
export function vaeTarget(config: VaeConfig, target: GraphTarget): GraphTarget {
  return { ...target, precision: vaePrecision(config, target) }
}

/** AutoencoderKL's decoder with its post_quant_conv: latents (N, C, h, w), unscaled, to image (N, 3, 8h, 8w). */
export function buildVaeDecoder(config: VaeConfig, target: GraphTarget = PORTABLE): Graph {
  const g = createGraphBuilder('vae-decoder', vaeTarget(config, target))
  const widths = [...config.block_out_channels].reverse()
  const norm = normSettings(config)
  const latents = fromHost(g, VAE_NAMES.latents, ['N', config.latent_channels, 'h', 'w'])

  const { latent_channels: depth } = config
  let hidden = conv(g, latents, 'post_quant_conv', depth, depth, { kernel: 1 })
  hidden = conv(g, hidden, 'decoder.conv_in', depth, widths[0])
  hidden = middle(g, hidden, 'decoder.mid_block', widths[0], norm)
  let width = widths[0]
  widths.forEach((channels, block) => {
    for (let layer = 0; layer <= config.layers_per_block; layer++) {
      const sizes = { from: width, to: channels }
      hidden = resnetBlock(g, hidden, `decoder.up_blocks.${block}.resnets.${layer}`, sizes, norm)
      width = channels
    }
    if (block < widths.length - 1) {
      hidden = conv(g, upsample2x(g, hidden), `decoder.up_blocks.${block}.upsamplers.0.conv`, channels, channels)
    }
  })
  hidden = groupNorm(g, hidden, 'decoder.conv_norm_out', width, norm, { silu: true })
  const image = conv(g, hidden, 'decoder.conv_out', width, config.out_channels)
  toHost(g, VAE_NAMES.image, image, ['N', config.out_channels, 'H', 'W'])
  return g.build()
}

/**
 * AutoencoderKL's encoder with its quant_conv: image (N, 3, H, W) in -1..1 to moments (N, 2C, H/8, W/8), the posterior's
 * mean and then its log variance, not clamped.
 */
export function buildVaeEncoder(config: VaeConfig, target: GraphTarget = PORTABLE): Graph {
  const g = createGraphBuilder('vae-encoder', vaeTarget(config, target))
  const widths = config.block_out_channels
  const norm = normSettings(config)
  const image = fromHost(g, VAE_NAMES.image, ['N', config.in_channels, 'H', 'W'])

  let hidden = conv(g, image, 'encoder.conv_in', config.in_channels, widths[0])
  let width = widths[0]
  widths.forEach((channels, block) => {
    for (let layer = 0; layer < config.layers_per_block; layer++) {
      const sizes = { from: width, to: channels }
      hidden = resnetBlock(g, hidden, `encoder.down_blocks.${block}.resnets.${layer}`, sizes, norm)
      width = channels
    }
    if (block < widths.length - 1) {
      // The autoencoder pads only below and on the right.
      const name = `encoder.down_blocks.${block}.downsamplers.0.conv`
      hidden = conv(g, hidden, name, channels, channels, { stride: 2, pads: [0, 0, 1, 1] })
    }
  })
  hidden = middle(g, hidden, 'encoder.mid_block', width, norm)
  hidden = groupNorm(g, hidden, 'encoder.conv_norm_out', width, norm, { silu: true })
  const doubled = 2 * config.latent_channels
  hidden = conv(g, hidden, 'encoder.conv_out', width, doubled)
  const moments = conv(g, hidden, 'quant_conv', doubled, doubled, { kernel: 1 })
  toHost(g, VAE_NAMES.moments, moments, ['N', doubled, 'h', 'w'])
  return g.build()
}

/** UNetMidBlock2D: residual block, one-headed self-attention, residual block. */
function middle(g: GraphBuilder, x: Value, name: string, width: number, norm: NormSettings): Value {
  const sizes = { from: width, to: width }
  const first = resnetBlock(g, x, `${name}.resnets.0`, sizes, norm)
  const attended = selfAttention(g, first, `${name}.attentions.0`, width, norm)
  return resnetBlock(g, attended, `${name}.resnets.1`, sizes, norm)
}

function selfAttention(g: GraphBuilder, x: Value, name: string, width: number, norm: NormSettings): Value {
  const { tokens, sequence, toImage } = normedTokens(g, x, `${name}.group_norm`, width, norm)
  const [q, k, v] = ['to_q', 'to_k', 'to_v'].map((part) => linear(g, tokens, `${name}.${part}`, width, width))
  const attended = attention(g, [q, k, v], width, { heads: 1, sequence })
  const projected = linear(g, attended, `${name}.to_out.0`, width, width)
  return g.node('Add', [x, toImage(projected)])
}

const normSettings = (config: VaeConfig): NormSettings => ({ groups: config.norm_num_groups, epsilon: NORM_EPSILON })
