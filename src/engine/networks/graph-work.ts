import { typesOf, type GraphTarget, type Precision } from '../graph/target.js'
import { trunkShapes } from '../graph/trunk-shapes.js'
import { vaePrecision } from '../graph/vae.js'
import type { Checkpoint } from '../weights/checkpoint.js'
import type { ControlNetConfig } from '../weights/config.js'
import {
  controlNetValues,
  decoderValues,
  embeddingValues,
  encoderValues,
  largestKernel,
  skipValues,
  textEncoderValues,
  vaeDecoderValues,
  vaeEncoderValues,
  type BatchSize,
} from './activations.js'
import { FLOAT_BYTES } from './weight-bytes.js'
import type { GraphReference, GraphWork } from './workspaces.js'

/** What a job asks of a model on a device, by the shapes of its largest calls. */
export interface ModelWork {
  /** Passes of the UNet: (B, C, h, w). */
  readonly pass?: readonly number[]
  /** ControlNets whose residuals are added to them. @default 0 */
  readonly controls?: number
  /** Latents to decode: (N, C, h, w), those of a tile where the picture is decoded in tiles. */
  readonly decode?: readonly number[]
  /** Pictures to encode: (N, 3, H, W). */
  readonly encode?: readonly number[]
}

/** What a job asks of a ControlNet: its passes, (B, C, h, w), and its picture, (1, 3, H, W). */
export interface ControlWork {
  readonly pass?: readonly number[]
  readonly picture?: readonly number[]
}

/**
 * How much a graph takes at its peak for each byte of the values that are live then: the most that was measured with the CPU
 * provider of ONNX Runtime 1.30 on x86-64, by bench/activation-memory.ts, of an SD1.5-size model and the demo model at 128x128
 * to 512x512 pixels in batches of 1 to 8. What is over 1 are pieces that the arena cannot use again, and the second run's plan
 * beside what the first run left. Other providers were not measured; the same factors stand in for theirs.
 */
const FACTORS = {
  'text-encoder': 3.2,
  'unet-encoder': 1.95,
  'unet-decoder': 2.3,
  // Outputs that are kept, and nothing else.
  'residual-sum': 1,
  controlnet: 1.25,
  'controlnet-conditioning': 1.15,
  'vae-decoder': 1.35,
  'vae-encoder': 1.7,
} as const

type GraphKind = keyof typeof FACTORS

/** The graphs that a model is bound to. */
export function modelGraphs({ textEncoders, unet, vae }: Checkpoint): GraphReference[] {
  return [
    ...textEncoders.map(({ config }) => ({ kind: 'text-encoder', config })),
    { kind: 'unet-encoder', config: unet.config },
    { kind: 'unet-decoder', config: unet.config },
    { kind: 'residual-sum', config: trunkShapes(unet.config) },
    { kind: 'vae-decoder', config: vae.config },
    { kind: 'vae-encoder', config: vae.config },
  ]
}

/** The graphs that a ControlNet is bound to. */
export function controlNetGraphs(config: ControlNetConfig): GraphReference[] {
  return [
    { kind: 'controlnet', config },
    { kind: 'controlnet-conditioning', config },
  ]
}

/** The working memory of a model's graphs for a job's calls, as `FACTORS` has it. */
export function modelWork(
  { textEncoders, unet, vae }: Checkpoint,
  { pass, controls = 0, decode, encode }: ModelWork,
  target: GraphTarget,
): GraphWork[] {
  const work: GraphWork[] = []
  const add = (kind: GraphKind, config: object, values: number, largest: number, { precision } = target): void => {
    work.push({ kind, config, byteLength: bytesOf(kind, values, precision) + widenedBytes(largest, precision) })
  }
  // Every job encodes a prompt, one at a time.
  for (const { config } of textEncoders) {
    add('text-encoder', config, textEncoderValues(config, 1), config.hidden_size * config.intermediate_size)
  }
  if (pass) {
    const size = sizeOf(pass)
    const widths = unet.config.block_out_channels
    add('unet-encoder', unet.config, encoderValues(unet.config, size, target), largestKernel(widths))
    add('unet-decoder', unet.config, decoderValues(unet.config, size, target), largestKernel(widths, true))
    const sums = controls * size.rows * skipValues(unet.config, size)
    if (controls > 0) add('residual-sum', trunkShapes(unet.config), sums, 0)
  }
  const vaeTarget = { ...target, precision: vaePrecision(vae.config, target) }
  const largest = largestKernel(vae.config.block_out_channels)
  if (decode) add('vae-decoder', vae.config, vaeDecoderValues(vae.config, sizeOf(decode), target), largest, vaeTarget)
  if (encode) add('vae-encoder', vae.config, vaeEncoderValues(vae.config, sizeOf(encode), target), largest, vaeTarget)
  return work
}

/** The working memory of a ControlNet's graphs for a job's calls. */
export function controlNetWork(
  config: ControlNetConfig,
  { pass, picture }: ControlWork,
  target: GraphTarget,
): GraphWork[] {
  const { precision } = target
  const trunk = pass ? controlNetValues(config, sizeOf(pass), target) : 0
  const embedding = picture ? embeddingValues(config, sizeOf(picture)) : 0
  const bytes = (kind: GraphKind, values: number, widths: readonly number[]): number =>
    bytesOf(kind, values, precision) + (values > 0 ? widenedBytes(largestKernel(widths), precision) : 0)
  return [
    { kind: 'controlnet', config, byteLength: bytes('controlnet', trunk, config.block_out_channels) },
    {
      kind: 'controlnet-conditioning',
      config,
      byteLength: bytes('controlnet-conditioning', embedding, config.conditioning_embedding_out_channels),
    },
  ]
}

function bytesOf(kind: GraphKind, values: number, precision: Precision): number {
  return Math.ceil(values * FLOAT_BYTES[typesOf({ precision }).values] * FACTORS[kind])
}

/** What a graph takes for the widened form of its largest weight, where it widens weights. */
function widenedBytes(largest: number, precision: Precision): number {
  const { weights, values } = typesOf({ precision })
  return weights === values ? 0 : largest * FLOAT_BYTES[values]
}

function sizeOf([rows, , height, width]: readonly number[]): BatchSize {
  return { rows, height, width }
}
