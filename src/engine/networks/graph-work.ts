import { typesOf, type GraphTarget, type Precision } from '../graph/target.js'
import { trunkShapes } from '../graph/trunk-shapes.js'
import type { Checkpoint, Component } from '../weights/checkpoint.js'
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
import type { GraphReference } from './graph-cache.js'
import { modelTargets, networkTarget, type DeviceTarget } from './network-target.js'
import { FLOAT_BYTES } from './weight-bytes.js'
import type { GraphWork } from './workspaces.js'

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
export function modelGraphs(checkpoint: Checkpoint, device: DeviceTarget): GraphReference[] {
  const { textEncoders, unet, vae } = checkpoint
  const targets = modelTargets(checkpoint, device)
  const trunk = { config: unet.config, precision: targets.unet.precision }
  const autoencoder = { config: vae.config, precision: targets.vae.precision }
  return [
    ...textEncoders.map(({ config }, index) => {
      return { kind: 'text-encoder', config, precision: targets.textEncoders[index].precision }
    }),
    { kind: 'unet-encoder', ...trunk },
    { kind: 'unet-decoder', ...trunk },
    { kind: 'residual-sum', config: trunkShapes(unet.config) },
    { kind: 'vae-decoder', ...autoencoder },
    { kind: 'vae-encoder', ...autoencoder },
  ]
}

/** The graphs that a ControlNet is bound to. */
export function controlNetGraphs(component: Component<ControlNetConfig>, device: DeviceTarget): GraphReference[] {
  const { config } = component
  const { precision } = networkTarget(device, component, 'controlNet')
  return [
    { kind: 'controlnet', config, precision },
    { kind: 'controlnet-conditioning', config, precision },
  ]
}

/** The working memory of a model's graphs for a job's calls, as `FACTORS` has it. */
export function modelWork(
  checkpoint: Checkpoint,
  { pass, controls = 0, decode, encode }: ModelWork,
  device: DeviceTarget,
): GraphWork[] {
  const { textEncoders, unet, vae } = checkpoint
  const targets = modelTargets(checkpoint, device)
  const work: GraphWork[] = []
  const add = (kind: GraphKind, config: object, { precision }: GraphTarget, values: number, largest: number): void => {
    const byteLength = bytesOf(kind, values, precision) + widenedBytes(largest, precision)
    work.push({ kind, config, precision, byteLength })
  }
  // Every job encodes a prompt, one at a time.
  textEncoders.forEach(({ config }, index) => {
    const largest = config.hidden_size * config.intermediate_size
    add('text-encoder', config, targets.textEncoders[index], textEncoderValues(config, 1), largest)
  })
  if (pass) {
    const [{ config }, target, size] = [unet, targets.unet, sizeOf(pass)]
    const widths = config.block_out_channels
    add('unet-encoder', config, target, encoderValues(config, size, target), largestKernel(widths))
    add('unet-decoder', config, target, decoderValues(config, size, target), largestKernel(widths, true))
    if (controls > 0) {
      const byteLength = bytesOf('residual-sum', controls * size.rows * skipValues(config, size), target.precision)
      work.push({ kind: 'residual-sum', config: trunkShapes(config), byteLength })
    }
  }
  const { config } = vae
  const largest = largestKernel(config.block_out_channels)
  if (decode) add('vae-decoder', config, targets.vae, vaeDecoderValues(config, sizeOf(decode), targets.vae), largest)
  if (encode) add('vae-encoder', config, targets.vae, vaeEncoderValues(config, sizeOf(encode), targets.vae), largest)
  return work
}

/** The working memory of a ControlNet's graphs for a job's calls. */
export function controlNetWork(
  component: Component<ControlNetConfig>,
  { pass, picture }: ControlWork,
  device: DeviceTarget,
): GraphWork[] {
  const { config } = component
  const target = networkTarget(device, component, 'controlNet')
  const { precision } = target
  const trunk = pass ? controlNetValues(config, sizeOf(pass), target) : 0
  const embedding = picture ? embeddingValues(config, sizeOf(picture)) : 0
  const bytes = (kind: GraphKind, values: number, widths: readonly number[]): number =>
    bytesOf(kind, values, precision) + (values > 0 ? widenedBytes(largestKernel(widths), precision) : 0)
  const trunkBytes = bytes('controlnet', trunk, config.block_out_channels)
  const embeddingBytes = bytes('controlnet-conditioning', embedding, config.conditioning_embedding_out_channels)
  return [
    { kind: 'controlnet', config, precision, byteLength: trunkBytes },
    { kind: 'controlnet-conditioning', config, precision, byteLength: embeddingBytes },
  ]
}

function bytesOf(kind: GraphKind, values: number, precision: Precision): number {
  return Math.ceil(values * FLOAT_BYTES[typesOf({ precision }).values] * FACTORS[kind])
}

/**
 * How much a graph that widens weights takes for that, of its largest one: measured likewise, 1.1 to 2.9 (text encoder 2.4, UNet 2.9
 * and 2.5, autoencoder 2.3 and 1.1), since the arena grows by powers of two, and a weight follows the last one.
 */
const WIDENED_FACTOR = 3

/** What a graph takes for the widened forms of its weights, one after the other, where it widens them. */
function widenedBytes(largest: number, precision: Precision): number {
  const { weights, values } = typesOf({ precision })
  return weights === values ? 0 : WIDENED_FACTOR * largest * FLOAT_BYTES[values]
}

function sizeOf([rows, , height, width]: readonly number[]): BatchSize {
  return { rows, height, width }
}
