import type { ControlNetConfig, TrunkConfig, UnetConfig } from '../weights/config.js'
import { resnetBlock, transformer, type PromptContext } from './blocks.js'
import { fromDevice, fromHost, toDevice, toHost } from './borders.js'
import { createGraphBuilder, type Dim, type Graph, type GraphBuilder, type Value } from './builder.js'
import { conv, resizeLike, silu } from './layers.js'
import { groupNorm, type NormSettings } from './norms.js'
import { PORTABLE, type GraphTarget } from './target.js'
import { timeEmbedding } from './time-embedding.js'
import { trunkShapes, type SkipShape } from './trunk-shapes.js'
import { UNET_NAMES } from './unet-names.js'

export { UNET_NAMES }

/**
 * UNet2DConditionModel as two graphs. The encoder (down blocks and mid block) and the decoder (up blocks) meet where
 * ControlNet residuals are added: that split is what lets a ControlNet on another device run beside the encoder
 * (SwiftDiffusion, arXiv 2407.02031, section on ControlNet-as-a-Service).
 */

/**
 * The down blocks and the mid block.
 * Inputs: sample (N, C, h, w), timestep (1), encoder_hidden_states (N, S, D), with SDXL text_embeds (N, P) and time_ids
 * (N, 6). Outputs: skip.0 …, mid, activated_time (N, T), which the decoder reads.
 */
export function buildUnetEncoder(config: UnetConfig, target: GraphTarget = PORTABLE): Graph {
  const g = createGraphBuilder('unet-encoder', target)
  const sample = fromHost(g, UNET_NAMES.sample, ['N', config.in_channels, 'h', 'w'])
  const { skips, mid, time } = encoderTrunk(g, config, conv(g, sample, 'conv_in', config.in_channels, first(config)))
  const shapes = trunkShapes(config)
  skips.forEach((skip, index) => toDevice(g, UNET_NAMES.skip(index), skip, skipDims(shapes.skips[index])))
  toDevice(g, UNET_NAMES.mid, mid, skipDims(shapes.mid))
  toDevice(g, UNET_NAMES.activatedTime, time, ['N', shapes.timeWidth])
  return g.build()
}

/** The up blocks: reads what the encoder handed over (plus residuals, added before) and gives noise (N, out, h, w). */
export function buildUnetDecoder(config: UnetConfig, target: GraphTarget = PORTABLE): Graph {
  const g = createGraphBuilder('unet-decoder', target)
  const shapes = trunkShapes(config)
  const stack = shapes.skips.map((shape, index) => ({
    value: fromDevice(g, UNET_NAMES.skip(index), skipDims(shape)),
    channels: shape.channels,
  }))
  let hidden = fromDevice(g, UNET_NAMES.mid, skipDims(shapes.mid))
  let width = shapes.mid.channels
  const time = { value: fromDevice(g, UNET_NAMES.activatedTime, ['N', shapes.timeWidth]), width: shapes.timeWidth }
  const states = fromHost(g, UNET_NAMES.encoderHiddenStates, ['N', 'S', promptWidth(config)])
  const norm = normSettings(config)

  config.up_block_types.forEach((type, up) => {
    const block = config.block_out_channels.length - 1 - up
    const channels = config.block_out_channels[block]
    for (let layer = 0; layer <= config.layers_per_block[block]; layer++) {
      const skip = pop(stack)
      const joined = g.node('Concat', [hidden, skip.value], { attributes: { axis: 1 } })
      const sizes = { from: width + skip.channels, to: channels }
      hidden = resnetBlock(g, joined, `up_blocks.${up}.resnets.${layer}`, sizes, norm, time)
      width = channels
      if (type === 'CrossAttnUpBlock2D') {
        hidden = transformerAt(g, hidden, `up_blocks.${up}.attentions.${layer}`, block, config, states)
      }
    }
    if (block > 0) {
      // Upsampling to the next skip's size also covers sizes that are no multiple of the total down-sampling.
      const upsampled = resizeLike(g, hidden, stack[stack.length - 1].value)
      hidden = conv(g, upsampled, `up_blocks.${up}.upsamplers.0.conv`, channels, channels)
    }
  })

  hidden = groupNorm(g, hidden, 'conv_norm_out', width, norm, { silu: true })
  const noise = conv(g, hidden, 'conv_out', width, config.out_channels)
  toHost(g, UNET_NAMES.noise, noise, ['N', config.out_channels, 'h', 'w'])
  return g.build()
}

/**
 * ControlNetModel without its picture part: a trunk of its own whose outputs pass through zero convolutions.
 * Inputs as `buildUnetEncoder`, plus conditioning (N or 1, first width, h, w) from `buildControlNetConditioning`.
 * Outputs: skip.0 … and mid, the residuals.
 */
export function buildControlNet(config: ControlNetConfig, target: GraphTarget = PORTABLE): Graph {
  const g = createGraphBuilder('controlnet', target)
  const sample = fromHost(g, UNET_NAMES.sample, ['N', config.in_channels, 'h', 'w'])
  // One picture serves every row: the sum broadcasts it.
  const conditioning = fromDevice(g, UNET_NAMES.conditioning, ['P', first(config), 'h', 'w'])
  const start = g.node('Add', [conv(g, sample, 'conv_in', config.in_channels, first(config)), conditioning])
  const { skips, mid } = encoderTrunk(g, config, start)
  const shapes = trunkShapes(config)
  const zeroConv = (x: Value, name: string, width: number): Value => conv(g, x, name, width, width, { kernel: 1 })
  skips.forEach((skip, index) => {
    const residual = zeroConv(skip, `controlnet_down_blocks.${index}`, shapes.skips[index].channels)
    toHost(g, UNET_NAMES.skip(index), residual, skipDims(shapes.skips[index]))
  })
  toHost(g, UNET_NAMES.mid, zeroConv(mid, 'controlnet_mid_block', shapes.mid.channels), skipDims(shapes.mid))
  return g.build()
}

/**
 * ControlNetConditioningEmbedding: control_image (N, 3, H, W) in 0..1 to conditioning (N, first width, H/8, W/8).
 * A graph of its own, since it runs once per picture and not once per step.
 */
export function buildControlNetConditioning(config: ControlNetConfig, target: GraphTarget = PORTABLE): Graph {
  const g = createGraphBuilder('controlnet-conditioning', target)
  const widths = config.conditioning_embedding_out_channels
  const name = 'controlnet_cond_embedding'
  const image = fromHost(g, UNET_NAMES.controlImage, ['N', config.conditioning_channels, 'H', 'W'])
  let hidden = silu(g, conv(g, image, `${name}.conv_in`, config.conditioning_channels, widths[0]))
  for (let index = 0; index < widths.length - 1; index++) {
    hidden = silu(g, conv(g, hidden, `${name}.blocks.${2 * index}`, widths[index], widths[index]))
    hidden = silu(
      g,
      conv(g, hidden, `${name}.blocks.${2 * index + 1}`, widths[index], widths[index + 1], { stride: 2 }),
    )
  }
  const conditioning = conv(g, hidden, `${name}.conv_out`, widths[widths.length - 1], first(config))
  toDevice(g, UNET_NAMES.conditioning, conditioning, ['N', first(config), 'h', 'w'])
  return g.build()
}

interface Trunk {
  readonly skips: readonly Value[]
  readonly mid: Value
  /** silu(time embedding), (N, 4 * first width). */
  readonly time: Value
}

/** Time embedding, down blocks and mid block, from the output of conv_in on. */
function encoderTrunk(g: GraphBuilder, config: TrunkConfig, start: Value): Trunk {
  const time = { value: timeEmbedding(g, config, start), width: 4 * first(config) }
  const states = fromHost(g, UNET_NAMES.encoderHiddenStates, ['N', 'S', promptWidth(config)])
  const norm = normSettings(config)
  const skips = [start]
  let hidden = start
  let width = first(config)

  config.down_block_types.forEach((type, block) => {
    const channels = config.block_out_channels[block]
    for (let layer = 0; layer < config.layers_per_block[block]; layer++) {
      const sizes = { from: width, to: channels }
      hidden = resnetBlock(g, hidden, `down_blocks.${block}.resnets.${layer}`, sizes, norm, time)
      width = channels
      if (type === 'CrossAttnDownBlock2D') {
        hidden = transformerAt(g, hidden, `down_blocks.${block}.attentions.${layer}`, block, config, states)
      }
      skips.push(hidden)
    }
    if (block < config.block_out_channels.length - 1) {
      hidden = conv(g, hidden, `down_blocks.${block}.downsamplers.0.conv`, channels, channels, { stride: 2 })
      skips.push(hidden)
    }
  })

  const sizes = { from: width, to: width }
  hidden = resnetBlock(g, hidden, 'mid_block.resnets.0', sizes, norm, time)
  hidden = transformerAt(g, hidden, 'mid_block.attentions.0', config.block_out_channels.length - 1, config, states)
  hidden = resnetBlock(g, hidden, 'mid_block.resnets.1', sizes, norm, time)
  return { skips, mid: hidden, time: time.value }
}

function transformerAt(
  g: GraphBuilder,
  x: Value,
  name: string,
  block: number,
  config: TrunkConfig,
  states: Value,
): Value {
  const width = config.cross_attention_dim[block]
  const context: PromptContext = { tokens: g.node('Reshape', [states, g.ints([-1, width])]), width }
  return transformer(g, x, name, context, {
    channels: config.block_out_channels[block],
    heads: config.heads[block],
    layers: config.transformer_layers_per_block[block],
    groups: config.norm_num_groups,
    linearProjection: config.use_linear_projection,
  })
}

function skipDims({ channels, halvings }: SkipShape): Dim[] {
  return ['N', channels, `h/${2 ** halvings}`, `w/${2 ** halvings}`]
}

const first = (config: TrunkConfig): number => config.block_out_channels[0]
const promptWidth = (config: TrunkConfig): number => config.cross_attention_dim[0]
const normSettings = (config: TrunkConfig): NormSettings => ({
  groups: config.norm_num_groups,
  epsilon: config.norm_eps,
})

function pop<T>(stack: T[]): T {
  const top = stack.pop()
  if (top === undefined) throw new Error('The UNet has more up layers than skips.')
  return top
}
