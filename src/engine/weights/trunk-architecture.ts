import { parseUnetConfig, type TrunkConfig, type UnetConfig } from './config.js'
import { ORIGINAL_PREFIX } from './original-names.js'
import { groupsFor, SD1_PROMPT_WIDTH, trunkHeads } from './published-sizes.js'
import { ofLayout } from './safetensors.js'
import { shapesUnder, type Shapes } from './tensor-shapes.js'

/** What the shapes tell of the half that UNets and ControlNets have in common. */
export type TrunkSizes = Pick<
  TrunkConfig,
  | 'in_channels'
  | 'block_out_channels'
  | 'down_block_types'
  | 'layers_per_block'
  | 'transformer_layers_per_block'
  | 'cross_attention_dim'
  | 'use_linear_projection'
  | 'addition_embed_type'
  | 'projection_class_embeddings_input_dim'
>

/** The width of one embedded size id of the published SDXL models. */
const SDXL_TIME_WIDTH = 256

/** The UNet of a single file, from the names and shapes of its tensors. */
export const detectUnet = ofLayout((file): UnetConfig => {
  const shapes = shapesUnder(file, ORIGINAL_PREFIX.unet)
  const sizes = detectTrunk(shapes, ORIGINAL_TRUNK)
  const [promptWidth] = sizes.cross_attention_dim
  const up = [...sizes.down_block_types].reverse()
  return parseUnetConfig(file.path, {
    ...sizes,
    attention_head_dim: trunkHeads(file.path, sizes.block_out_channels, promptWidth),
    norm_num_groups: groupsFor(file.path, sizes.block_out_channels),
    addition_time_embed_dim: sizes.addition_embed_type && SDXL_TIME_WIDTH,
    out_channels: shapes.of('out.2.weight')[0],
    sample_size: sizes.addition_embed_type ? 128 : promptWidth === SD1_PROMPT_WIDTH ? 64 : 96,
    up_block_types: up.map((type) => (type === 'DownBlock2D' ? 'UpBlock2D' : 'CrossAttnUpBlock2D')),
  })
})

/** How a file names the tensors that tell a trunk's sizes. */
export interface TrunkDialect {
  readonly convIn: string
  /** The mid block's transformer. */
  readonly attention: string
  /** The embedding of what SDXL is conditioned on besides the prompt. */
  readonly joined: string
  readonly downBlocks: (shapes: Shapes) => readonly DownBlock[]
}

interface DownBlock {
  readonly width: number
  readonly layers: number
  /** Transformer layers; 0 without attention. */
  readonly depth: number
}

/** CompVis' and Stability AI's names. */
export const ORIGINAL_TRUNK: TrunkDialect = {
  convIn: 'input_blocks.0.0.weight',
  attention: 'middle_block.1',
  joined: 'label_emb.0.0.weight',
  /** Walks the input blocks: residual layers, closed by a downsampler in every block but the last. */
  downBlocks(shapes) {
    const blocks: DownBlock[] = []
    let layers = 0
    let block = { width: 0, depth: 0 }
    for (let index = 1; ; index++) {
      const at = `input_blocks.${index}`
      if (shapes.has(`${at}.0.in_layers.2.weight`)) {
        block = { width: shapes.of(`${at}.0.in_layers.2.weight`)[0], depth: depthOf(shapes, `${at}.1`) }
        layers++
        continue
      }
      if (layers > 0) blocks.push({ ...block, layers })
      if (!shapes.has(`${at}.0.op.weight`)) return blocks
      layers = 0
    }
  },
}

/** diffusers' names. */
export const DIFFUSERS_TRUNK: TrunkDialect = {
  convIn: 'conv_in.weight',
  attention: 'mid_block.attentions.0',
  joined: 'add_embedding.linear_1.weight',
  downBlocks: (shapes) =>
    Array.from({ length: shapes.count((n) => `down_blocks.${n}.resnets.0.conv1.weight`) }, (_, block) => ({
      width: shapes.of(`down_blocks.${block}.resnets.0.conv1.weight`)[0],
      layers: shapes.count((n) => `down_blocks.${block}.resnets.${n}.conv1.weight`),
      depth: depthOf(shapes, `down_blocks.${block}.attentions.0`),
    })),
}

/**
 * The sizes of a UNet's or ControlNet's trunk.
 * @throws SwiftdError INVALID_WEIGHTS with the first tensor that is missing
 */
export function detectTrunk(shapes: Shapes, { convIn, attention, joined, downBlocks }: TrunkDialect): TrunkSizes {
  const blocks = downBlocks(shapes)
  const widths = blocks.map(({ width }) => width)
  const promptWidth = shapes.of(`${attention}.transformer_blocks.0.attn2.to_k.weight`)[1]
  return {
    in_channels: shapes.of(convIn)[1],
    block_out_channels: widths,
    down_block_types: blocks.map(({ depth }) => (depth > 0 ? 'CrossAttnDownBlock2D' : 'DownBlock2D')),
    layers_per_block: blocks.map(({ layers }) => layers),
    // A last block without attention still says how deep the mid block's is.
    transformer_layers_per_block: blocks.map(({ depth }, index) =>
      index === blocks.length - 1 ? depthOf(shapes, attention) : Math.max(depth, 1),
    ),
    cross_attention_dim: widths.map(() => promptWidth),
    use_linear_projection: shapes.of(`${attention}.proj_in.weight`).length === 2,
    addition_embed_type: shapes.has(joined) ? 'text_time' : undefined,
    projection_class_embeddings_input_dim: shapes.has(joined) ? shapes.of(joined)[1] : undefined,
  }
}

function depthOf(shapes: Shapes, attention: string): number {
  return shapes.count((n) => `${attention}.transformer_blocks.${n}.norm1.weight`)
}
