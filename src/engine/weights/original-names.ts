import type { TrunkConfig } from './config.js'
import type { NameMapping, TensorSource } from './weights.js'

/**
 * The key names of single-file checkpoints, as CompVis, Stability AI and OpenCLIP wrote them, from diffusers' names.
 * The same correspondence as diffusers' conversion scripts (loaders/single_file_utils.py), in the other direction: the
 * graphs ask for a diffusers name, and this says where the file has it.
 */

/** Prefixes of the components in a single file. */
export const ORIGINAL_PREFIX = {
  unet: 'model.diffusion_model.',
  vae: 'first_stage_model.',
  controlNet: 'control_model.',
  /** SD1.x: a transformers text model. */
  clip: 'cond_stage_model.transformer.',
  /** SD2.x: an OpenCLIP text model. */
  openClip: 'cond_stage_model.model.',
  sdxlClip: 'conditioner.embedders.0.transformer.',
  sdxlOpenClip: 'conditioner.embedders.1.model.',
  /** The SDXL refiner has only an OpenCLIP text model. */
  refinerOpenClip: 'conditioner.embedders.0.model.',
} as const

const RESNET: Readonly<Record<string, string>> = {
  norm1: 'in_layers.0',
  conv1: 'in_layers.2',
  time_emb_proj: 'emb_layers.1',
  norm2: 'out_layers.0',
  conv2: 'out_layers.3',
  conv_shortcut: 'skip_connection',
}

/** Names of a UNet or ControlNet trunk under `prefix`. */
export function originalTrunkNames(config: TrunkConfig, prefix: string): NameMapping {
  const count = config.block_out_channels.length
  const layersOf = (block: number): number => config.layers_per_block[block]
  /** Number of the first input block of a down block: one for conv_in, then layers and a downsampler for each. */
  const inputStart = (block: number): number => {
    let start = 1
    for (let earlier = 0; earlier < block; earlier++) start += layersOf(earlier) + 1
    return start
  }
  const outputStart = (up: number): number => {
    let start = 0
    for (let earlier = 0; earlier < up; earlier++) start += layersOf(count - 1 - earlier) + 1
    return start
  }
  const upHasAttention = (up: number): boolean => config.down_block_types[count - 1 - up] === 'CrossAttnDownBlock2D'

  const rules: [RegExp, (...groups: string[]) => string][] = [
    [/^time_embedding\.linear_([12])\.(.+)$/, (n, rest) => `time_embed.${n === '1' ? 0 : 2}.${rest}`],
    [/^add_embedding\.linear_([12])\.(.+)$/, (n, rest) => `label_emb.0.${n === '1' ? 0 : 2}.${rest}`],
    [/^conv_in\.(.+)$/, (rest) => `input_blocks.0.0.${rest}`],
    [/^conv_norm_out\.(.+)$/, (rest) => `out.0.${rest}`],
    [/^conv_out\.(.+)$/, (rest) => `out.2.${rest}`],
    [
      /^down_blocks\.(\d+)\.resnets\.(\d+)\.(.+)$/,
      (block, layer, rest) => `input_blocks.${inputStart(+block) + +layer}.0.${renameResnet(rest)}`,
    ],
    [
      /^down_blocks\.(\d+)\.attentions\.(\d+)\.(.+)$/,
      (block, layer, rest) => `input_blocks.${inputStart(+block) + +layer}.1.${rest}`,
    ],
    [
      /^down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.+)$/,
      (block, rest) => `input_blocks.${inputStart(+block) + layersOf(+block)}.0.op.${rest}`,
    ],
    [/^mid_block\.resnets\.([01])\.(.+)$/, (n, rest) => `middle_block.${n === '0' ? 0 : 2}.${renameResnet(rest)}`],
    [/^mid_block\.attentions\.0\.(.+)$/, (rest) => `middle_block.1.${rest}`],
    [
      /^up_blocks\.(\d+)\.resnets\.(\d+)\.(.+)$/,
      (up, layer, rest) => `output_blocks.${outputStart(+up) + +layer}.0.${renameResnet(rest)}`,
    ],
    [
      /^up_blocks\.(\d+)\.attentions\.(\d+)\.(.+)$/,
      (up, layer, rest) => `output_blocks.${outputStart(+up) + +layer}.1.${rest}`,
    ],
    [
      /^up_blocks\.(\d+)\.upsamplers\.0\.conv\.(.+)$/,
      (up, rest) => {
        const last = outputStart(+up) + layersOf(count - 1 - +up)
        return `output_blocks.${last}.${upHasAttention(+up) ? 2 : 1}.conv.${rest}`
      },
    ],
    // ControlNets: the picture's embedding is a flat list of convolutions with activations between them.
    [/^controlnet_cond_embedding\.conv_in\.(.+)$/, (rest) => `input_hint_block.0.${rest}`],
    [/^controlnet_cond_embedding\.blocks\.(\d+)\.(.+)$/, (n, rest) => `input_hint_block.${2 * +n + 2}.${rest}`],
    [/^controlnet_cond_embedding\.conv_out\.(.+)$/, (rest) => `input_hint_block.14.${rest}`],
    [/^controlnet_down_blocks\.(\d+)\.(.+)$/, (n, rest) => `zero_convs.${n}.0.${rest}`],
    [/^controlnet_mid_block\.(.+)$/, (rest) => `middle_block_out.0.${rest}`],
  ]
  const architecture = JSON.stringify([prefix, config.layers_per_block, config.down_block_types])
  return remembered(architecture, (name) => ({ name: prefix + applyRules(name, rules) }))
}

function renameResnet(rest: string): string {
  const [part, kind] = rest.split('.')
  return `${RESNET[part] ?? part}.${kind}`
}

/** Names of an autoencoder of `blocks` levels under `prefix`. Its attention is kept as 1x1 convolutions. */
export function originalVaeNames(blocks: number, prefix: string): NameMapping {
  const resnet = (rest: string): string => rest.replace('conv_shortcut', 'nin_shortcut')
  const attention: Readonly<Record<string, string>> = {
    group_norm: 'norm',
    to_q: 'q',
    to_k: 'k',
    to_v: 'v',
    'to_out.0': 'proj_out',
  }
  const rules: [RegExp, (...groups: string[]) => string][] = [
    [
      /^encoder\.down_blocks\.(\d+)\.resnets\.(\d+)\.(.+)$/,
      (b, n, rest) => `encoder.down.${b}.block.${n}.${resnet(rest)}`,
    ],
    [
      /^encoder\.down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.+)$/,
      (b, rest) => `encoder.down.${b}.downsample.conv.${rest}`,
    ],
    [
      /^decoder\.up_blocks\.(\d+)\.resnets\.(\d+)\.(.+)$/,
      (b, n, rest) => `decoder.up.${blocks - 1 - +b}.block.${n}.${resnet(rest)}`,
    ],
    [
      /^decoder\.up_blocks\.(\d+)\.upsamplers\.0\.conv\.(.+)$/,
      (b, rest) => `decoder.up.${blocks - 1 - +b}.upsample.conv.${rest}`,
    ],
    [
      /^(encoder|decoder)\.mid_block\.resnets\.([01])\.(.+)$/,
      (half, n, rest) => `${half}.mid.block_${+n + 1}.${resnet(rest)}`,
    ],
    [
      /^(encoder|decoder)\.mid_block\.attentions\.0\.(group_norm|to_q|to_k|to_v|to_out\.0)\.(weight|bias)$/,
      (half, part, kind) => `${half}.mid.attn_1.${attention[part]}.${kind}`,
    ],
    [/^(encoder|decoder)\.conv_norm_out\.(.+)$/, (half, rest) => `${half}.norm_out.${rest}`],
  ]
  return remembered(JSON.stringify([prefix, blocks]), (name) => ({
    name: prefix + applyRules(name, rules),
    squeeze: /\.attentions\.0\.to_.*\.weight$/.test(name),
  }))
}

/** Names of an OpenCLIP text model under `prefix`; its attention keeps query, key and value in one tensor. */
export function openClipNames(prefix: string): NameMapping {
  const layerParts: Readonly<Record<string, string>> = {
    layer_norm1: 'ln_1',
    layer_norm2: 'ln_2',
    'mlp.fc1': 'mlp.c_fc',
    'mlp.fc2': 'mlp.c_proj',
    'self_attn.out_proj': 'attn.out_proj',
  }
  const fused = ['q_proj', 'k_proj', 'v_proj']
  return (name): TensorSource => {
    const layer = /^text_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name)
    if (!layer) return { name: prefix + openClipTopLevel(name), transpose: name === 'text_projection.weight' }
    const [, number, part, kind] = layer
    const block = `${prefix}transformer.resblocks.${number}`
    const index = fused.indexOf(part.replace('self_attn.', ''))
    if (index >= 0) return { name: `${block}.attn.in_proj_${kind}`, part: { index, count: fused.length } }
    return { name: `${block}.${layerParts[part] ?? part}.${kind}` }
  }
}

function openClipTopLevel(name: string): string {
  return (
    {
      'text_model.embeddings.token_embedding.weight': 'token_embedding.weight',
      'text_model.embeddings.position_embedding.weight': 'positional_embedding',
      'text_model.final_layer_norm.weight': 'ln_final.weight',
      'text_model.final_layer_norm.bias': 'ln_final.bias',
      'text_projection.weight': 'text_projection',
    }[name] ?? name
  )
}

/** By architecture. They are few, as are the names that its graphs ask for. */
const translations = new Map<string, Map<string, TensorSource>>()

/** A mapping that translates each name once: a thousand names' patterns take longer than binding their tensors. */
function remembered(architecture: string, translate: NameMapping): NameMapping {
  const known = translations.get(architecture) ?? new Map<string, TensorSource>()
  translations.set(architecture, known)
  return (name) => {
    const translated = known.get(name)
    if (translated) return translated
    const source = translate(name)
    known.set(name, source)
    return source
  }
}

function applyRules(name: string, rules: readonly [RegExp, (...groups: string[]) => string][]): string {
  for (const [pattern, rename] of rules) {
    const match = pattern.exec(name)
    if (match) return rename(...match.slice(1))
  }
  return name
}
