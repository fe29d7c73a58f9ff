import { toFloat32 } from './borders.js'
import type { GraphBuilder, Value } from './builder.js'
import { imageToTokens, MICROSOFT, sequenceShape, silu, tokensToImage } from './layers.js'

/** Group normalisation, in the form that the target's provider computes best. */

export interface NormSettings {
  readonly groups: number
  readonly epsilon: number
}

export interface GroupNormOptions {
  /** (N, channels), added to every pixel before. */
  readonly shift?: Value
  /** Whether SiLU follows. @default false */
  readonly silu?: boolean
}

/** Group normalisation of x (N, channels, H, W) with its affine part. */
export function groupNorm(
  g: GraphBuilder,
  x: Value,
  name: string,
  channels: number,
  norm: NormSettings,
  options: GroupNormOptions = {},
): Value {
  if (hasFusedNorm(g, channels, norm)) {
    return toChannelsFirst(g, fusedNorm(g, toChannelsLast(g, x), name, channels, norm, options))
  }
  const { shift } = options
  const shifted = shift ? g.node('Add', [x, g.node('Unsqueeze', [shift, g.ints([2, 3])])]) : x
  const normal = portableNorm(g, shifted, name, channels, norm)
  return options.silu ? silu(g, normal) : normal
}

/** An image as tokens, and the way back. */
export interface ImageTokens {
  /** Flattened, (N * H * W, channels). */
  readonly tokens: Value
  /** Shape that turns flattened tokens into (N, H * W, channels). */
  readonly sequence: Value
  /** Flattened tokens as an image of the shape of the first one, (N, channels, H, W). */
  readonly toImage: (tokens: Value) => Value
}

/** Group normalisation of an image (N, channels, H, W) that goes on as tokens. */
export function normedTokens(
  g: GraphBuilder,
  x: Value,
  name: string,
  channels: number,
  norm: NormSettings,
): ImageTokens {
  const sequence = sequenceShape(g, x, channels)
  if (!hasFusedNorm(g, channels, norm)) {
    const tokens = imageToTokens(g, groupNorm(g, x, name, channels, norm), channels)
    return { tokens, sequence, toImage: (back) => tokensToImage(g, back, x, sequence) }
  }
  // Channels are last in both: tokens are another shape of what the fused operator gives.
  const image = toChannelsLast(g, x)
  const normal = fusedNorm(g, image, name, channels, norm)
  return {
    tokens: g.node('Reshape', [normal, g.ints([-1, channels])]),
    sequence,
    toImage: (back) => toChannelsFirst(g, g.node('Reshape', [back, g.node('Shape', [image])])),
  }
}

/** CPUs and WebGPU have no group norm; an instance norm over groups is one. */
function portableNorm(
  g: GraphBuilder,
  x: Value,
  name: string,
  channels: number,
  { groups, epsilon }: NormSettings,
): Value {
  const grouped = g.node('Reshape', [x, g.ints([0, groups, -1])])
  const ones = g.floats(new Array<number>(groups).fill(1))
  const zeros = g.floats(new Array<number>(groups).fill(0))
  const normal = g.node('InstanceNormalization', [grouped, ones, zeros], { floats: { epsilon } })
  const restored = g.node('Reshape', [normal, g.node('Shape', [x])])
  const perChannel = g.ints([channels, 1, 1])
  const weight = g.node('Reshape', [g.weight(`${name}.weight`, [channels]), perChannel])
  const bias = g.node('Reshape', [g.weight(`${name}.bias`, [channels]), perChannel])
  return g.node('Add', [g.node('Mul', [restored, weight]), bias])
}

/** The widest group that the CUDA kernel has threads for. */
const WIDEST_GROUP = 512

/** Whether the provider has the fused operator for these sizes: CUDA's kernel reads two channels of a group at once. */
export function hasFusedNorm(g: GraphBuilder, channels: number, { groups }: NormSettings): boolean {
  const width = channels / groups
  return g.target.operators === 'cuda' && width % 2 === 0 && width <= WIDEST_GROUP
}

/** On x (N, H, W, channels). CUDA: sums in float32 and SiLU in the same kernel, where the portable form makes six passes. */
function fusedNorm(
  g: GraphBuilder,
  x: Value,
  name: string,
  channels: number,
  { groups, epsilon }: NormSettings,
  options: GroupNormOptions = {},
): Value {
  const { shift } = options
  // CUDA's kernel takes the affine part in float32 only.
  const affine = ['weight', 'bias'].map((part) => toFloat32(g, g.weight(`${name}.${part}`, [channels])))
  // With a shift it is SkipGroupNorm, which spares a pass for the sum.
  return g.node(shift ? 'SkipGroupNorm' : 'GroupNorm', [x, ...affine, ...(shift ? [shift] : [])], {
    attributes: { groups, activation: options.silu ? 1 : 0, channels_last: 1 },
    floats: { epsilon },
    domain: MICROSOFT,
  })
}

// Transposes of their own, and not inside the operators: where convolutions have channels last, too, they cancel.
function toChannelsLast(g: GraphBuilder, x: Value): Value {
  return g.node('Transpose', [x], { attributes: { perm: [0, 2, 3, 1] } })
}

function toChannelsFirst(g: GraphBuilder, x: Value): Value {
  return g.node('Transpose', [x], { attributes: { perm: [0, 3, 1, 2] } })
}
