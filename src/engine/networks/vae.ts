import type { Graph } from '../graph/builder.js'
import type { GraphTarget } from '../graph/target.js'
import { buildVaeDecoder, buildVaeEncoder, VAE_NAMES as NAMES, vaeTarget } from '../graph/vae.js'
import type { NativeTensor } from '../tensor.js'
import type { VaeConfig } from '../weights/config.js'
import type { GraphCache } from './graph-cache.js'
import { bindNetwork, type BoundNetwork } from './network.js'
import type { NetworkFile } from './network-files.js'

/** An autoencoder with the weights of one file. Not reentrant: one pass at a time. */
export interface Vae {
  readonly config: VaeConfig
  /** Latents (N, C, h, w), not scaled, to `image` (N, 3, 8h, 8w). */
  decode(latents: NativeTensor, image: NativeTensor, signal?: AbortSignal): Promise<{ runtimeMs: number }>
  /** Image (N, 3, H, W) in -1..1 to `moments` (N, 2C, H/8, W/8): mean, then log variance, not clamped. */
  encode(image: NativeTensor, moments: NativeTensor, signal?: AbortSignal): Promise<{ runtimeMs: number }>
  release(): void
}

/** How many pixels one latent spans in each direction. */
export function vaeScale(config: VaeConfig): number {
  return 2 ** (config.block_out_channels.length - 1)
}

/**
 * Loads a file's weights for the autoencoder graphs of its architecture: the decoder's at once, the encoder's, which only
 * img2img and inpainting use, when they are first needed.
 */
export async function openVae(graphs: GraphCache, config: VaeConfig, file: NetworkFile): Promise<Vae> {
  const target = vaeTarget(config, file.target)
  const lazyHalf = (kind: string, build: (config: VaeConfig, target: GraphTarget) => Graph) => {
    return lazyBinding(async () => {
      const compiled = await graphs.open(kind, config, () => build(config, target), target)
      return bindNetwork(graphs, file.weights, [compiled])
    })
  }
  const decoder = lazyHalf('vae-decoder', buildVaeDecoder)
  const encoder = lazyHalf('vae-encoder', buildVaeEncoder)
  await decoder.get()
  const pass = async (
    half: ReturnType<typeof lazyBinding>,
    [inputName, input]: readonly [string, NativeTensor],
    [outputName, output]: readonly [string, NativeTensor],
    signal?: AbortSignal,
  ): Promise<{ runtimeMs: number }> => {
    const binding = await half.get()
    binding.bindInput(inputName, input)
    binding.clearOutputs()
    binding.bindOutput(outputName, output)
    return binding.run(signal)
  }
  return {
    config,
    decode: (latents, image, signal) => pass(decoder, [NAMES.latents, latents], [NAMES.image, image], signal),
    encode: (image, moments, signal) => pass(encoder, [NAMES.image, image], [NAMES.moments, moments], signal),
    release() {
      decoder.release()
      encoder.release()
    },
  }
}

function lazyBinding(open: () => Promise<BoundNetwork>) {
  let bound: BoundNetwork | undefined
  return {
    async get() {
      bound ??= await open()
      return bound.bindings[0]
    },
    release: () => bound?.release(),
  }
}
