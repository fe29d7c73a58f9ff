import type { TextEncoderConfig } from '../weights/config.js'
import { convert, toHost } from './borders.js'
import { createGraphBuilder, type Graph, type GraphBuilder, type Value } from './builder.js'
import { attention } from './attention.js'
import { gelu, layerNorm, linear, quickGelu, sequenceShape } from './layers.js'
import { PORTABLE, typesOf, type GraphTarget } from './target.js'

/** Input and output names of the text encoder graph. */
export const TEXT_ENCODER_NAMES = {
  inputIds: 'input_ids',
  /** Where to pool: the position of the end-of-text token of each prompt. */
  pooledPosition: 'pooled_position',
  /** Hidden states after `layer` layers (0: the embeddings), without the final norm. */
  hidden: (layer: number) => `hidden_states.${layer}`,
  /** The same with the final norm. */
  normed: (layer: number) => `normed_hidden_states.${layer}`,
  pooled: 'pooled',
  textEmbeds: 'text_embeds',
} as const

/**
 * CLIP's text transformer, with transformers' weight names.
 * Inputs: input_ids (N, 77) int64, pooled_position (N, 1) int64. Outputs, C the hidden size: hidden_states.i and
 * normed_hidden_states.i (N, 77, C) for i = 0 … layers, pooled (N, C), with a projection text_embeds (N, P).
 * A run computes only the outputs that are bound.
 */
export function buildTextEncoder(config: TextEncoderConfig, target: GraphTarget = PORTABLE): Graph {
  const g = createGraphBuilder('text-encoder', target)
  const { hidden_size: width, max_position_embeddings: length, num_hidden_layers: layers } = config
  const ids = g.input(TEXT_ENCODER_NAMES.inputIds, 'int64', ['N', length])
  const position = g.input(TEXT_ENCODER_NAMES.pooledPosition, 'int64', ['N', 1])
  const dims = ['N', length, width]

  const embeddings = 'text_model.embeddings'
  const table = g.storedWeight(`${embeddings}.token_embedding.weight`, [config.vocab_size, width])
  const { weights, values } = typesOf(target)
  // The table is the network's largest weight, and 77 of its rows are read.
  const tokens = convert(g, g.node('Gather', [table, ids]), weights, values)
  const positions = g.weight(`${embeddings}.position_embedding.weight`, [length, width])
  let hidden = g.node('Add', [tokens, positions])
  const sequence = sequenceShape(g, hidden, width)
  let normed = ''
  for (let layer = 0; layer <= layers; layer++) {
    if (layer > 0) hidden = encoderLayer(g, hidden, `text_model.encoder.layers.${layer - 1}`, config, sequence)
    normed = layerNorm(g, hidden, 'text_model.final_layer_norm', width, config.layer_norm_eps)
    toHost(g, TEXT_ENCODER_NAMES.hidden(layer), hidden, dims)
    toHost(g, TEXT_ENCODER_NAMES.normed(layer), normed, dims)
  }

  const pooled = g.node('GatherND', [normed, position], { attributes: { batch_dims: 1 } })
  toHost(g, TEXT_ENCODER_NAMES.pooled, pooled, ['N', width])
  if (config.projection_dim !== null) {
    const projected = linear(g, pooled, 'text_projection', width, config.projection_dim, false)
    toHost(g, TEXT_ENCODER_NAMES.textEmbeds, projected, ['N', config.projection_dim])
  }
  return g.build()
}

/** CLIPEncoderLayer on (N, S, C). */
function encoderLayer(
  g: GraphBuilder,
  x: Value,
  name: string,
  { hidden_size: width, ...config }: TextEncoderConfig,
  sequence: Value,
): Value {
  const flat = g.ints([-1, width])
  const part = (from: Value, to: string, fromWidth = width, toWidth = width): Value =>
    linear(g, from, `${name}.${to}`, fromWidth, toWidth)

  const first = g.node('Reshape', [layerNorm(g, x, `${name}.layer_norm1`, width, config.layer_norm_eps), flat])
  const [q, k, v] = ['q_proj', 'k_proj', 'v_proj'].map((to) => part(first, `self_attn.${to}`))
  const attended = attention(g, [q, k, v], width, {
    heads: config.num_attention_heads,
    sequence,
    causal: config.max_position_embeddings,
  })
  x = g.node('Add', [x, g.node('Reshape', [part(attended, 'self_attn.out_proj'), sequence])])

  const second = g.node('Reshape', [layerNorm(g, x, `${name}.layer_norm2`, width, config.layer_norm_eps), flat])
  const inner = part(second, 'mlp.fc1', width, config.intermediate_size)
  const activated = config.hidden_act === 'quick_gelu' ? quickGelu(g, inner) : gelu(g, inner)
  const outer = part(activated, 'mlp.fc2', config.intermediate_size, width)
  return g.node('Add', [x, g.node('Reshape', [outer, sequence])])
}
