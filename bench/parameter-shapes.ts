/**
 * The names and shapes of every parameter of a network, from its config.json, in diffusers' naming (unet_2d_condition.py,
 * controlnet.py, autoencoders/vae.py, and transformers' modeling_clip.py).
 */
import type {
  ControlNetConfig,
  TextEncoderConfig,
  TrunkConfig,
  UnetConfig,
  VaeConfig,
} from '../src/engine/weights/config.js'

/** Shapes by parameter name. */
export type ParameterShapes = Map<string, readonly number[]>

export function unetShapes(config: UnetConfig): ParameterShapes {
  const shapes: ParameterShapes = new Map()
  const channels = config.block_out_channels
  const count = channels.length
  const timeWidth = addTrunk(shapes, config)
  for (let block = 0; block < count; block++) {
    const mirrored = count - 1 - block
    const width = channels[mirrored]
    const before = channels[Math.min(mirrored + 1, count - 1)]
    const skipOfLast = channels[Math.max(mirrored - 1, 0)]
    const name = `up_blocks.${block}`
    const layers = config.layers_per_block[mirrored] + 1
    for (let layer = 0; layer < layers; layer++) {
      const skip = layer === layers - 1 ? skipOfLast : width
      const input = (layer === 0 ? before : width) + skip
      addResnet(shapes, `${name}.resnets.${layer}`, input, width, timeWidth)
      if (config.up_block_types[block] === 'CrossAttnUpBlock2D') {
        addTransformer(shapes, `${name}.attentions.${layer}`, width, config, mirrored)
      }
    }
    if (block < count - 1) addConv(shapes, `${name}.upsamplers.0.conv`, width, width)
  }
  addNorm(shapes, 'conv_norm_out', channels[0])
  addConv(shapes, 'conv_out', channels[0], config.out_channels)
  return shapes
}

export function controlNetShapes(config: ControlNetConfig): ParameterShapes {
  const shapes: ParameterShapes = new Map()
  addTrunk(shapes, config)
  const embedding = 'controlnet_cond_embedding'
  const widths = config.conditioning_embedding_out_channels
  addConv(shapes, `${embedding}.conv_in`, config.conditioning_channels, widths[0])
  for (let i = 0; i + 1 < widths.length; i++) {
    addConv(shapes, `${embedding}.blocks.${2 * i}`, widths[i], widths[i])
    addConv(shapes, `${embedding}.blocks.${2 * i + 1}`, widths[i], widths[i + 1])
  }
  addConv(shapes, `${embedding}.conv_out`, widths[widths.length - 1], config.block_out_channels[0])
  const residuals = [config.block_out_channels[0]]
  config.block_out_channels.forEach((width, block) => {
    const downsampled = block < config.block_out_channels.length - 1 ? 1 : 0
    residuals.push(...Array<number>(config.layers_per_block[block] + downsampled).fill(width))
  })
  residuals.forEach((width, index) => addConv(shapes, `controlnet_down_blocks.${index}`, width, width, 1))
  const last = config.block_out_channels[config.block_out_channels.length - 1]
  addConv(shapes, 'controlnet_mid_block', last, last, 1)
  return shapes
}

/** @param naming how the attention layers are called: `old` as in the published SD1.x folders, `new` since diffusers 0.14 */
export function vaeShapes(config: VaeConfig, naming: 'old' | 'new' = 'new'): ParameterShapes {
  const shapes: ParameterShapes = new Map()
  const channels = config.block_out_channels
  const last = channels[channels.length - 1]
  const latent = config.latent_channels
  addConv(shapes, 'encoder.conv_in', config.in_channels, channels[0])
  channels.forEach((width, block) => {
    const name = `encoder.down_blocks.${block}`
    for (let layer = 0; layer < config.layers_per_block; layer++) {
      const input = layer === 0 ? channels[Math.max(block - 1, 0)] : width
      addResnet(shapes, `${name}.resnets.${layer}`, input, width)
    }
    if (block < channels.length - 1) addConv(shapes, `${name}.downsamplers.0.conv`, width, width)
  })
  addVaeMiddle(shapes, 'encoder.mid_block', last, naming)
  addNorm(shapes, 'encoder.conv_norm_out', last)
  addConv(shapes, 'encoder.conv_out', last, 2 * latent)
  addConv(shapes, 'quant_conv', 2 * latent, 2 * latent, 1)
  addConv(shapes, 'post_quant_conv', latent, latent, 1)
  addConv(shapes, 'decoder.conv_in', latent, last)
  addVaeMiddle(shapes, 'decoder.mid_block', last, naming)
  channels.toReversed().forEach((width, block, reversed) => {
    const name = `decoder.up_blocks.${block}`
    for (let layer = 0; layer <= config.layers_per_block; layer++) {
      const input = layer === 0 ? reversed[Math.max(block - 1, 0)] : width
      addResnet(shapes, `${name}.resnets.${layer}`, input, width)
    }
    if (block < channels.length - 1) addConv(shapes, `${name}.upsamplers.0.conv`, width, width)
  })
  addNorm(shapes, 'decoder.conv_norm_out', channels[0])
  addConv(shapes, 'decoder.conv_out', channels[0], config.out_channels)
  return shapes
}

export function textEncoderShapes(config: TextEncoderConfig): ParameterShapes {
  const shapes: ParameterShapes = new Map()
  const width = config.hidden_size
  shapes.set('text_model.embeddings.token_embedding.weight', [config.vocab_size, width])
  shapes.set('text_model.embeddings.position_embedding.weight', [config.max_position_embeddings, width])
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const name = `text_model.encoder.layers.${layer}`
    for (const projection of ['q', 'k', 'v', 'out']) {
      addLinear(shapes, `${name}.self_attn.${projection}_proj`, width, width)
    }
    addNorm(shapes, `${name}.layer_norm1`, width)
    addNorm(shapes, `${name}.layer_norm2`, width)
    addLinear(shapes, `${name}.mlp.fc1`, width, config.intermediate_size)
    addLinear(shapes, `${name}.mlp.fc2`, config.intermediate_size, width)
  }
  addNorm(shapes, 'text_model.final_layer_norm', width)
  if (config.projection_dim !== null) shapes.set('text_projection.weight', [config.projection_dim, width])
  return shapes
}

/**
 * A LoRA for every attention and feed-forward layer of a UNet, in PEFT's naming.
 * @param unet the UNet's own shapes
 */
export function loraShapes(unet: ParameterShapes, rank: number): ParameterShapes {
  const shapes: ParameterShapes = new Map()
  for (const [name, [output, input]] of unet) {
    const layer = /^(.*\.(?:attn[12]\.to_(?:q|k|v|out\.0)|ff\.net\.(?:0\.proj|2)))\.weight$/.exec(name)?.[1]
    if (layer === undefined) continue
    shapes.set(`unet.${layer}.lora_A.weight`, [rank, input])
    shapes.set(`unet.${layer}.lora_B.weight`, [output, rank])
  }
  return shapes
}

export function countParameters(shapes: ParameterShapes): number {
  return [...shapes.values()].reduce((sum, shape) => sum + shape.reduce((product, dim) => product * dim, 1), 0)
}

/** What UNet and ControlNet have in common: everything up to the middle. Gives the width of the time embedding. */
function addTrunk(shapes: ParameterShapes, config: TrunkConfig): number {
  const channels = config.block_out_channels
  const timeWidth = 4 * channels[0]
  addConv(shapes, 'conv_in', config.in_channels, channels[0])
  addLinear(shapes, 'time_embedding.linear_1', channels[0], timeWidth)
  addLinear(shapes, 'time_embedding.linear_2', timeWidth, timeWidth)
  if (config.addition_embed_type === 'text_time') {
    addLinear(shapes, 'add_embedding.linear_1', config.projection_class_embeddings_input_dim ?? 0, timeWidth)
    addLinear(shapes, 'add_embedding.linear_2', timeWidth, timeWidth)
  }
  channels.forEach((width, block) => {
    const name = `down_blocks.${block}`
    for (let layer = 0; layer < config.layers_per_block[block]; layer++) {
      const input = layer === 0 ? channels[Math.max(block - 1, 0)] : width
      addResnet(shapes, `${name}.resnets.${layer}`, input, width, timeWidth)
      if (config.down_block_types[block] === 'CrossAttnDownBlock2D') {
        addTransformer(shapes, `${name}.attentions.${layer}`, width, config, block)
      }
    }
    if (block < channels.length - 1) addConv(shapes, `${name}.downsamplers.0.conv`, width, width)
  })
  const last = channels.length - 1
  addResnet(shapes, 'mid_block.resnets.0', channels[last], channels[last], timeWidth)
  addTransformer(shapes, 'mid_block.attentions.0', channels[last], config, last)
  addResnet(shapes, 'mid_block.resnets.1', channels[last], channels[last], timeWidth)
  return timeWidth
}

function addTransformer(
  shapes: ParameterShapes,
  name: string,
  width: number,
  config: TrunkConfig,
  block: number,
): void {
  const kernel = config.use_linear_projection ? [] : [1, 1]
  addNorm(shapes, `${name}.norm`, width)
  for (const projection of ['proj_in', 'proj_out']) {
    shapes.set(`${name}.${projection}.weight`, [width, width, ...kernel])
    shapes.set(`${name}.${projection}.bias`, [width])
  }
  for (let depth = 0; depth < config.transformer_layers_per_block[block]; depth++) {
    const layer = `${name}.transformer_blocks.${depth}`
    const contexts = { attn1: width, attn2: config.cross_attention_dim[block] }
    for (const [attention, context] of Object.entries(contexts)) {
      shapes.set(`${layer}.${attention}.to_q.weight`, [width, width])
      shapes.set(`${layer}.${attention}.to_k.weight`, [width, context])
      shapes.set(`${layer}.${attention}.to_v.weight`, [width, context])
      addLinear(shapes, `${layer}.${attention}.to_out.0`, width, width)
    }
    for (const norm of ['norm1', 'norm2', 'norm3']) addNorm(shapes, `${layer}.${norm}`, width)
    // The gated GELU has two halves of four times the width.
    addLinear(shapes, `${layer}.ff.net.0.proj`, width, 8 * width)
    addLinear(shapes, `${layer}.ff.net.2`, 4 * width, width)
  }
}

/** @param timeWidth absent for the autoencoder, which has no time embedding */
function addResnet(shapes: ParameterShapes, name: string, input: number, output: number, timeWidth?: number): void {
  addNorm(shapes, `${name}.norm1`, input)
  addConv(shapes, `${name}.conv1`, input, output)
  if (timeWidth !== undefined) addLinear(shapes, `${name}.time_emb_proj`, timeWidth, output)
  addNorm(shapes, `${name}.norm2`, output)
  addConv(shapes, `${name}.conv2`, output, output)
  if (input !== output) addConv(shapes, `${name}.conv_shortcut`, input, output, 1)
}

function addVaeMiddle(shapes: ParameterShapes, name: string, width: number, naming: 'old' | 'new'): void {
  const layers = { old: ['query', 'key', 'value', 'proj_attn'], new: ['to_q', 'to_k', 'to_v', 'to_out.0'] }
  addResnet(shapes, `${name}.resnets.0`, width, width)
  addNorm(shapes, `${name}.attentions.0.group_norm`, width)
  for (const layer of layers[naming]) addLinear(shapes, `${name}.attentions.0.${layer}`, width, width)
  addResnet(shapes, `${name}.resnets.1`, width, width)
}

function addConv(shapes: ParameterShapes, name: string, input: number, output: number, kernel = 3): void {
  shapes.set(`${name}.weight`, [output, input, kernel, kernel])
  shapes.set(`${name}.bias`, [output])
}

function addLinear(shapes: ParameterShapes, name: string, input: number, output: number): void {
  shapes.set(`${name}.weight`, [output, input])
  shapes.set(`${name}.bias`, [output])
}

function addNorm(shapes: ParameterShapes, name: string, width: number): void {
  shapes.set(`${name}.weight`, [width])
  shapes.set(`${name}.bias`, [width])
}
