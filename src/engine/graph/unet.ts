import type { ControlNetConfig, TrunkConfig, UnetConfig } from '../weights/config.js'
import { resnetBlock, transformer, type NormSettings, type PromptContext } from './blocks.js'
import { createGraphBuilder, type Dim, type Graph, type GraphBuilder, type Value } from './builder.js'
import { conv, groupNorm, linear, resizeLike, silu } from './layers.js'
import { trunkShapes, type SkipShape } from './trunk-shapes.js'

/**
 * UNet2DConditionModel as two graphs. The encoder (down blocks and mid block) and the decoder (up blocks) meet where
 * ControlNet residuals are added: that split is what lets a ControlNet on another device run beside the encoder
 * (SwiftDiffusion, arXiv 2407.02031, section on ControlNet-as-a-Service).
 */

/** Input and output names of the UNet and ControlNet graphs. */
export const UNET_NAMES = {
  sample: 'sample',
  timestep: 'timestep',
  encoderHiddenStates: 'encoder_hidden_states',
  textEmbeds: 'text_embeds',
  timeIds: 'time_ids',
  conditioning: 'conditioning',
  controlImage: 'control_image',
  skip: (index: number) => `skip.${index}`,
  mid: 'mid',
  activatedTime: 'activated_time',
  noise: 'noise',
} as const

/**
 * The down blocks and the mid block.
 * Inputs: sample (N, C, h, w), timestep (1), encoder_hidden_states (N, S, D), with SDXL text_embeds (N, P) and time_ids
 * (N, 6). Outputs: skip.0 …, mid, activated_time (N, T), which the decoder reads.
 */
export function buildUnetEncoder(config: UnetConfig): Graph {
  const g = createGraphBuilder('unet-encoder')
  const sample = g.input(UNET_NAMES.sample, 'float32', ['N', config.in_channels, 'h', 'w'])
  const { skips, mid, time } = encoderTrunk(g, config, conv(g, sample, 'conv_in', config.in_channels, first(config)))
  const shapes = trunkShapes(config)
  skips.forEach((skip, index) => g.output(UNET_NAMES.skip(index), skip, skipDims(shapes.skips[index])))
  g.output(UNET_NAMES.mid, mid, skipDims(shapes.mid))
  g.output(UNET_NAMES.activatedTime, time, ['N', shapes.timeWidth])
  return g.build()
}

/** The up blocks: reads what the encoder handed over (plus residuals, added before) and gives noise (N, out, h, w). */
export function buildUnetDecoder(config: UnetConfig): Graph {
  const g = createGraphBuilder('unet-decoder')
  const shapes = trunkShapes(config)
  const stack = shapes.skips.map((shape, index) => ({
    value: g.input(UNET_NAMES.skip(index), 'float32', skipDims(shape)),
    channels: shape.channels,
  }))
  let hidden = g.input(UNET_NAMES.mid, 'float32', skipDims(shapes.mid))
  let width = shapes.mid.channels
  const time = { value: g.input(UNET_NAMES.activatedTime, 'float32', ['N', shapes.timeWidth]), width: shapes.timeWidth }
  const states = g.input(UNET_NAMES.encoderHiddenStates, 'float32', ['N', 'S', promptWidth(config)])
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

  hidden = silu(g, groupNorm(g, hidden, 'conv_norm_out', width, norm.groups, norm.epsilon))
  const noise = conv(g, hidden, 'conv_out', width, config.out_channels)
  g.output(UNET_NAMES.noise, noise, ['N', config.out_channels, 'h', 'w'])
  return g.build()
}

/**
 * ControlNetModel without its picture part: a trunk of its own whose outputs pass through zero convolutions.
 * Inputs as `buildUnetEncoder`, plus conditioning (N or 1, first width, h, w) from `buildControlNetConditioning`.
 * Outputs: skip.0 … and mid, the residuals.
 */
export function buildControlNet(config: ControlNetConfig): Graph {
  const g = createGraphBuilder('controlnet')
  const sample = g.input(UNET_NAMES.sample, 'float32', ['N', config.in_channels, 'h', 'w'])
  // One picture serves every row: the sum broadcasts it.
  const conditioning = g.input(UNET_NAMES.conditioning, 'float32', ['P', first(config), 'h', 'w'])
  const start = g.node('Add', [conv(g, sample, 'conv_in', config.in_channels, first(config)), conditioning])
  const { skips, mid } = encoderTrunk(g, config, start)
  const shapes = trunkShapes(config)
  const zeroConv = (x: Value, name: string, width: number): Value => conv(g, x, name, width, width, { kernel: 1 })
  skips.forEach((skip, index) => {
    const residual = zeroConv(skip, `controlnet_down_blocks.${index}`, shapes.skips[index].channels)
    g.output(UNET_NAMES.skip(index), residual, skipDims(shapes.skips[index]))
  })
  g.output(UNET_NAMES.mid, zeroConv(mid, 'controlnet_mid_block', shapes.mid.channels), skipDims(shapes.mid))
  return g.build()
}

/**
 * ControlNetConditioningEmbedding: control_image (N, 3, H, W) in 0..1 to conditioning (N, first width, H/8, W/8).
 * A graph of its own, since it runs once per picture and not once per step.
 */
export function buildControlNetConditioning(config: ControlNetConfig): Graph {
  const g = createGraphBuilder('controlnet-conditioning')
  const widths = config.conditioning_embedding_out_channels
  const name = 'controlnet_cond_embedding'
  const image = g.input(UNET_NAMES.controlImage, 'float32', ['N', config.conditioning_channels, 'H', 'W'])
  let hidden = silu(g, conv(g, image, `${name}.conv_in`, config.conditioning_channels, widths[0]))
  for (let index = 0; index < widths.length - 1; index++) {
    hidden = silu(g, conv(g, hidden, `${name}.blocks.${2 * index}`, widths[index], widths[index]))
    hidden = silu(
      g,
      conv(g, hidden, `${name}.blocks.${2 * index + 1}`, widths[index], widths[index + 1], { stride: 2 }),
    )
  }
  const conditioning = conv(g, hidden, `${name}.conv_out`, widths[widths.length - 1], first(config))
  g.output(UNET_NAMES.conditioning, conditioning, ['N', first(config), 'h', 'w'])
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
  const states = g.input(UNET_NAMES.encoderHiddenStates, 'float32', ['N', 'S', promptWidth(config)])
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

/**
 * silu(time embedding), (N, T). SDXL adds the pooled prompt and the sizes ("text_time"). Every block reads it through
 * silu, so that is computed once.
 */
function timeEmbedding(g: GraphBuilder, config: TrunkConfig, like: Value): Value {
  const width = first(config)
  const timestep = g.input(UNET_NAMES.timestep, 'float32', [1])
  const mlp = (x: Value, name: string, from: number): Value =>
    linear(g, silu(g, linear(g, x, `${name}.linear_1`, from, 4 * width)), `${name}.linear_2`, 4 * width, 4 * width)

  let embedding = mlp(sinusoids(g, timestep, width, config), 'time_embedding', width)
  if (config.addition_embed_type === 'text_time') {
    const perId = config.addition_time_embed_dim ?? 0
    const joined = config.projection_class_embeddings_input_dim ?? 0
    const textEmbeds = g.input(UNET_NAMES.textEmbeds, 'float32', ['N', joined - 6 * perId])
    const timeIds = g.input(UNET_NAMES.timeIds, 'float32', ['N', 6])
    const flatIds = g.node('Reshape', [timeIds, g.ints([-1])])
    const ids = g.node('Reshape', [sinusoids(g, flatIds, perId, config), g.ints([-1, 6 * perId])])
    const added = g.node('Concat', [textEmbeds, ids], { attributes: { axis: -1 } })
    embedding = g.node('Add', [embedding, mlp(added, 'add_embedding', joined)])
  } else {
    // One timestep serves the whole batch; the blocks expect a row for each image.
    const batch = g.node('Shape', [like], { attributes: { start: 0, end: 1 } })
    const shape = g.node('Concat', [batch, g.ints([4 * width])], { attributes: { axis: 0 } })
    embedding = g.node('Expand', [embedding, shape])
  }
  return silu(g, embedding)
}

/** Sinusoidal embedding of (K) numbers to (K, width), as diffusers' get_timestep_embedding. */
function sinusoids(g: GraphBuilder, values: Value, width: number, config: TrunkConfig): Value {
  const half = width / 2
  const frequencies = Array.from({ length: half }, (_, index) =>
    Math.exp((-Math.log(10_000) * index) / (half - config.freq_shift)),
  )
  const angles = g.node('Mul', [g.node('Unsqueeze', [values, g.ints([1])]), g.floats(frequencies, [1, half])])
  const [sin, cos] = [g.node('Sin', [angles]), g.node('Cos', [angles])]
  return g.node('Concat', config.flip_sin_to_cos ? [cos, sin] : [sin, cos], { attributes: { axis: -1 } })
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
