import type { TrunkConfig } from '../weights/config.js'
import { toValues } from './borders.js'
import type { GraphBuilder, Value } from './builder.js'
import { linear, silu } from './layers.js'
import { UNET_NAMES } from './unet-names.js'

/** For what must be exact and is too small to be worth a device. */
const onHost = true

/**
 * silu(time embedding), (N, T). SDXL adds the pooled prompt and the sizes ("text_time"). Every block reads it through
 * silu, so that is computed once.
 */
export function timeEmbedding(g: GraphBuilder, config: TrunkConfig, like: Value): Value {
  const width = config.block_out_channels[0]
  const timestep = g.input(UNET_NAMES.timestep, 'float32', [1])
  const mlp = (x: Value, name: string, from: number): Value =>
    linear(g, silu(g, linear(g, x, `${name}.linear_1`, from, 4 * width)), `${name}.linear_2`, 4 * width, 4 * width)

  let embedding = mlp(toValues(g, sinusoids(g, timestep, width, config)), 'time_embedding', width)
  if (config.addition_embed_type === 'text_time') {
    const perId = config.addition_time_embed_dim ?? 0
    const joined = config.projection_class_embeddings_input_dim ?? 0
    const textEmbeds = g.input(UNET_NAMES.textEmbeds, 'float32', ['N', joined - 6 * perId])
    const timeIds = g.input(UNET_NAMES.timeIds, 'float32', ['N', 6])
    const flatIds = g.node('Reshape', [timeIds, g.ints([-1])], { onHost })
    const ids = g.node('Reshape', [sinusoids(g, flatIds, perId, config), g.ints([-1, 6 * perId])])
    const added = toValues(g, g.node('Concat', [textEmbeds, ids], { attributes: { axis: -1 } }))
    embedding = g.node('Add', [embedding, mlp(added, 'add_embedding', joined)])
  } else {
    // One timestep serves the whole batch; the blocks expect a row for each image.
    const batch = g.node('Shape', [like], { attributes: { start: 0, end: 1 } })
    const shape = g.node('Concat', [batch, g.ints([4 * width])], { attributes: { axis: 0 } })
    embedding = g.node('Expand', [embedding, shape])
  }
  return silu(g, embedding)
}

/**
 * Sinusoidal embedding of (K) numbers to (K, width), as diffusers' get_timestep_embedding. In float32: half precision has
 * steps of 0.5 between the angles that timesteps near 1000 have. By the host: shaders need give a sine only to 2^-11, and
 * only between -π and π (Vulkan 1.3, precision of core instructions); SwiftShader's is off by 2e-4.
 */
function sinusoids(g: GraphBuilder, values: Value, width: number, config: TrunkConfig): Value {
  const half = width / 2
  const frequencies = Array.from({ length: half }, (_, index) =>
    Math.exp((-Math.log(10_000) * index) / (half - config.freq_shift)),
  )
  const column = g.node('Unsqueeze', [values, g.ints([1])], { onHost })
  const angles = g.node('Mul', [column, g.floats(frequencies, [1, half], 'float32')], { onHost })
  const [sin, cos] = [g.node('Sin', [angles], { onHost }), g.node('Cos', [angles], { onHost })]
  return g.node('Concat', config.flip_sin_to_cos ? [cos, sin] : [sin, cos], { attributes: { axis: -1 }, onHost })
}
