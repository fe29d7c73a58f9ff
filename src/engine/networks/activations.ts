import { HEADS_AT_ONCE } from '../graph/attention.js'
import type { GraphTarget } from '../graph/target.js'
import { trunkShapes } from '../graph/trunk-shapes.js'
import type { ControlNetConfig, TextEncoderConfig, TrunkConfig, UnetConfig, VaeConfig } from '../weights/config.js'

/**
 * How many values a graph keeps at once, at most, from its architecture and shapes: what is live where that is most. It is what a
 * runtime needs that frees each value after its last use; how much the runtime really takes is in `graph-work.ts`.
 */

/** Rows of a batch at a height and width, in latents or pixels as the network takes them. */
export interface BatchSize {
  readonly rows: number
  readonly height: number
  readonly width: number
}

type Attention = Pick<GraphTarget, 'attention'>

/** Live in a residual block: its input for the shortcut, twice as much for the norm, and the convolution's output. */
const resnet = (from: number, to: number): number => 3 * from + to

/** Live in a gated feed-forward: the block's input, the tokens, the projection to 8 widths, and its two halves. */
const transformer = (channels: number): number => 18 * channels

/** Live in an attention of matrix products, beside what a fused one needs: the scores of each token for each, and their softmax. */
const scores = (heads: number, tokens: number, { attention }: Attention): number =>
  attention === 'plain' ? 2 * Math.min(heads, HEADS_AT_ONCE) * tokens * tokens : 0

/** The down blocks and the mid block of a UNet, with the skips that stay for the decoder. */
export function encoderValues(config: UnetConfig, size: BatchSize, target: Attention): number {
  return trunkValues(config, size, target)
}

/** A ControlNet's pass; its residuals lie elsewhere, but what they are made of is kept until its end. */
export function controlNetValues(config: ControlNetConfig, size: BatchSize, target: Attention): number {
  return trunkValues(config, size, target)
}

function trunkValues(config: TrunkConfig, { rows, height, width }: BatchSize, target: Attention): number {
  const areas = areasOf(config.block_out_channels.length, height, width)
  const widths = config.block_out_channels
  const peaks = widths.map((channels, block) => {
    const before = widths[Math.max(0, block - 1)]
    const attends = config.down_block_types[block] === 'CrossAttnDownBlock2D'
    const residual = resnet(before, channels) * areas[block]
    return attends ? Math.max(residual, transformerValues(config, block, areas[block], target)) : residual
  })
  return rows * (skipValues(config, { rows, height, width }) + Math.max(...peaks))
}

function transformerValues(
  { block_out_channels: widths, heads }: TrunkConfig,
  block: number,
  area: number,
  target: Attention,
): number {
  return transformer(widths[block]) * area + scores(heads[block], area, target)
}

/** The largest kernel of a network whose blocks have these widths, and of one that joins skips: one is widened at a time. */
export function largestKernel(widths: readonly number[], joinsSkips = false): number {
  const widest = Math.max(...widths)
  return 9 * widest * widest * (joinsSkips ? 2 : 1)
}

/** The skips of one row, with the mid block's output. */
export function skipValues(config: TrunkConfig, { height, width }: BatchSize): number {
  const { skips, mid } = trunkShapes(config)
  const areas = areasOf(config.block_out_channels.length, height, width)
  return [...skips, mid].reduce((sum, { channels, halvings }) => sum + channels * areas[halvings], 0)
}

/** The up blocks of a UNet, which read the skips as inputs. */
export function decoderValues(config: UnetConfig, { rows, height, width }: BatchSize, target: Attention): number {
  const widths = config.block_out_channels
  const areas = areasOf(widths.length, height, width)
  const peaks = widths.map((channels, block) => {
    // The widest one of a level joins what comes from below with a skip.
    const joined = widths[Math.min(widths.length - 1, block + 1)] + channels
    const attends = config.up_block_types[widths.length - 1 - block] === 'CrossAttnUpBlock2D'
    const residual = resnet(joined, channels) * areas[block]
    return attends ? Math.max(residual, transformerValues(config, block, areas[block], target)) : residual
  })
  return rows * Math.max(...peaks)
}

/** The network that embeds a ControlNet's picture, of a size in pixels. */
export function embeddingValues(config: ControlNetConfig, { rows, height, width }: BatchSize): number {
  const widths = config.conditioning_embedding_out_channels
  const areas = areasOf(widths.length, height, width)
  return rows * Math.max(...widths.map((channels, level) => (2 * channels + (widths[level + 1] ?? 0)) * areas[level]))
}

/** The autoencoder's decoder, of a size in latents: the picture's full size has the most. */
export function vaeDecoderValues(
  { block_out_channels: widths }: VaeConfig,
  { rows, height, width }: BatchSize,
  target: Attention,
): number {
  const peaks = widths.map((channels, level) => {
    const from = widths[Math.min(widths.length - 1, level + 1)]
    const scale = 2 ** (widths.length - 1 - level)
    return resnet(from, channels) * height * scale * (width * scale)
  })
  return rows * Math.max(...peaks, scores(1, height * width, target))
}

/** The autoencoder's encoder, of a size in pixels. */
export function vaeEncoderValues(
  { block_out_channels: widths }: VaeConfig,
  { rows, height, width }: BatchSize,
  target: Attention,
): number {
  const areas = areasOf(widths.length, height, width)
  const peaks = widths.map((to, level) => resnet(widths[Math.max(0, level - 1)], to) * areas[level])
  return rows * Math.max(...peaks, scores(1, areas[areas.length - 1], target))
}

/** A text encoder on `rows` prompts. */
export function textEncoderValues(config: TextEncoderConfig, rows: number): number {
  const { hidden_size: hidden, intermediate_size: inner, max_position_embeddings: length } = config
  return rows * length * (6 * hidden + 2 * inner + config.num_attention_heads * length)
}

/** Pixels or latents at each level: the size is halved between levels, rounding up. */
function areasOf(levels: number, height: number, width: number): number[] {
  const areas: number[] = []
  for (let level = 0; level < levels; level++) {
    areas.push(height * width)
    ;[height, width] = [Math.ceil(height / 2), Math.ceil(width / 2)]
  }
  return areas
}
