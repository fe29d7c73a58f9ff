import type { GraphBuilder, Value } from './builder.js'

/**
 * The layers that diffusers' networks are made of. Weights keep PyTorch's names and layouts; images are (N, C, H, W),
 * token sequences are flattened to (N * S, C) so that linear layers are plain matrix products.
 */

/** The domain of the runtime's own operators. */
export const MICROSOFT = 'com.microsoft'

/** x (T, from) times a PyTorch weight (to, from), plus bias: the product reads the weight as it lies in the file. */
export function linear(g: GraphBuilder, x: Value, name: string, from: number, to: number, bias = true): Value {
  const weight = g.weight(`${name}.weight`, [to, from])
  const inputs = bias ? [x, weight, g.weight(`${name}.bias`, [to])] : [x, weight]
  return g.node('Gemm', inputs, { attributes: { transB: 1 } })
}

/** A 1x1 convolution with bias, on flattened tokens x (T, from): a product with the weight's two longer axes. */
export function pointwise(g: GraphBuilder, x: Value, name: string, from: number, to: number): Value {
  const weight = g.node('Reshape', [g.weight(`${name}.weight`, [to, from, 1, 1]), g.ints([to, from])])
  return g.node('Gemm', [x, weight, g.weight(`${name}.bias`, [to])], { attributes: { transB: 1 } })
}

export interface ConvOptions {
  /** Side of the square kernel. @default 3 */
  readonly kernel?: number
  /** @default 1 */
  readonly stride?: number
  /** Padding at top, left, bottom, right. @default the kernel's "same" padding */
  readonly pads?: readonly [number, number, number, number]
}

/** A 2-d convolution with bias. */
export function conv(
  g: GraphBuilder,
  x: Value,
  name: string,
  from: number,
  to: number,
  options: ConvOptions = {},
): Value {
  const { kernel = 3, stride = 1 } = options
  const same = (kernel - 1) / 2
  const weight = g.weight(`${name}.weight`, [to, from, kernel, kernel])
  const bias = g.weight(`${name}.bias`, [to])
  const more = missingChannels(g, from)
  return g.node('Conv', [padChannels(g, x, more), padChannels(g, weight, more), bias], {
    attributes: {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: options.pads ?? [same, same, same, same],
    },
  })
}

/**
 * How many channels of zeros make a convolution right: WebGPU's reads three channels at once where their number can be
 * divided by three and not by four, and gives wrong values if there are more than three (seen with the runtime 1.30).
 */
function missingChannels({ target }: GraphBuilder, channels: number): number {
  const wrong = target.operators === 'webgpu' && channels > 3 && channels % 3 === 0 && channels % 4 !== 0
  return wrong ? 4 - (channels % 4) : 0
}

/** Appends zeros along the second of four axes. */
function padChannels(g: GraphBuilder, x: Value, count: number): Value {
  return count === 0 ? x : g.node('Pad', [x, g.ints([0, 0, 0, 0, 0, count, 0, 0])])
}

/** Layer normalisation over the last axis. */
export function layerNorm(g: GraphBuilder, x: Value, name: string, channels: number, epsilon: number): Value {
  const inputs = [x, g.weight(`${name}.weight`, [channels]), g.weight(`${name}.bias`, [channels])]
  return g.node('LayerNormalization', inputs, { attributes: { axis: -1 }, floats: { epsilon } })
}

/** x * sigmoid(x), which is the runtime's QuickGelu with alpha 1. */
export function silu(g: GraphBuilder, x: Value): Value {
  return quickGelu(g, x, 1)
}

/** x * sigmoid(alpha * x); CLIP's "quick_gelu" has alpha 1.702. */
export function quickGelu(g: GraphBuilder, x: Value, alpha = 1.702): Value {
  return g.node('QuickGelu', [x], { floats: { alpha }, domain: MICROSOFT })
}

/** The exact GELU, by the error function. */
export function gelu(g: GraphBuilder, x: Value): Value {
  return g.node('Gelu', [x])
}

/** Halves of CUDA's BiasSplitGelu; its kernels are compiled for the published networks' widths. */
const BIAS_SPLIT_GELU_WIDTHS = [1280, 2560, 5120]

/** GEGLU on x (T, from), to (T, width): half of a linear layer's outputs times the GELU of the other half. */
export function gatedLinear(g: GraphBuilder, x: Value, name: string, from: number, width: number): Value {
  if (g.target.operators === 'cuda' && BIAS_SPLIT_GELU_WIDTHS.includes(width)) {
    // One pass over the network's widest tensor instead of five: bias, split, GELU and product.
    const projected = g.node('Unsqueeze', [linear(g, x, name, from, 2 * width, false), g.ints([0])])
    const gated = g.node('BiasSplitGelu', [projected, g.weight(`${name}.bias`, [2 * width])], { domain: MICROSOFT })
    return g.node('Reshape', [gated, g.ints([-1, width])])
  }
  const projected = linear(g, x, name, from, 2 * width)
  const [value, gate] = g.nodes('Split', [projected], 2, { attributes: { axis: -1, num_outputs: 2 } })
  return g.node('Mul', [value, gelu(g, gate)])
}

/** The shape (batch of `like`, -1, channels), to turn flattened tokens into a batch of sequences. */
export function sequenceShape(g: GraphBuilder, like: Value, channels: number): Value {
  const batch = g.node('Shape', [like], { attributes: { start: 0, end: 1 } })
  return g.node('Concat', [batch, g.ints([-1, channels])], { attributes: { axis: 0 } })
}

/** (N, C, H, W) to flattened tokens (N * H * W, C). */
export function imageToTokens(g: GraphBuilder, x: Value, channels: number): Value {
  const planes = g.node('Reshape', [x, g.ints([0, channels, -1])])
  const tokens = g.node('Transpose', [planes], { attributes: { perm: [0, 2, 1] } })
  return g.node('Reshape', [tokens, g.ints([-1, channels])])
}

/** Flattened tokens back to the image shape of `like`, which has the same channels. */
export function tokensToImage(g: GraphBuilder, tokens: Value, like: Value, sequence: Value): Value {
  const sequences = g.node('Reshape', [tokens, sequence])
  const planes = g.node('Transpose', [sequences], { attributes: { perm: [0, 2, 1] } })
  return g.node('Reshape', [planes, g.node('Shape', [like])])
}

/** Nearest-neighbour resize to the height and width of `like`, indexed as PyTorch does. */
export function resizeLike(g: GraphBuilder, x: Value, like: Value): Value {
  const size = g.node('Shape', [like], { attributes: { start: 2, end: 4 } })
  return resizeNearest(g, [x, '', '', size])
}

/** Nearest-neighbour upsampling to twice the height and width. */
export function upsample2x(g: GraphBuilder, x: Value): Value {
  // Scales are float32, whatever is resized.
  return resizeNearest(g, [x, '', g.floats([2, 2], [2], 'float32')])
}

function resizeNearest(g: GraphBuilder, inputs: Value[]): Value {
  return g.node('Resize', inputs, {
    attributes: { axes: [2, 3], mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
  })
}
