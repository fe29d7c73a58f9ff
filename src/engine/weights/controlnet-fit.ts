import { SwiftdError } from '../errors.js'
import type { Checkpoint } from './checkpoint.js'
import { SD1_PROMPT_WIDTH, SD2_PROMPT_WIDTH } from './published-sizes.js'
import type { TrunkSizes } from './trunk-architecture.js'

/**
 * Refuses a ControlNet whose residuals could not be added to a base model's, or that does not take its inputs.
 * @param path where the ControlNet is, for the message
 * @param controlNet its sizes: a ControlNetConfig, or what its tensors tell
 * @throws SwiftdError INVALID_WEIGHTS that says what each of the two is
 */
export function checkControlNetFits(path: string, controlNet: TrunkSizes, { name, unet, vae }: Checkpoint): void {
  // An inpainting UNet sees a mask besides; its ControlNets see the latents only.
  const base = { ...unet.config, in_channels: vae.config.latent_channels }
  const differing = PROPERTIES.find(({ of }) => String(of(controlNet)) !== String(of(base)))
  if (!differing) return
  const { describe, of } = differing
  const sentence = `${path} was made for ${baseKind(controlNet)} models with ${describe(of(controlNet))}`
  const other = `the model "${name}" is of the kind ${baseKind(base)} with ${describe(of(base))}`
  throw new SwiftdError('INVALID_WEIGHTS', `${sentence}, but ${other}; use a ControlNet that was made for it.`)
}

interface Property {
  readonly of: (trunk: TrunkSizes) => readonly number[] | number | undefined
  readonly describe: (value: readonly number[] | number | undefined) => string
}

/** What must agree; the depth and the places of attention need not. */
const PROPERTIES: readonly Property[] = [
  { of: (trunk) => trunk.cross_attention_dim[0], describe: (width) => `prompts ${String(width)} wide` },
  {
    of: (trunk) => (trunk.addition_embed_type ? trunk.projection_class_embeddings_input_dim : undefined),
    describe: (width) => (width ? `pooled prompts and sizes ${String(width)} wide` : 'no pooled prompts'),
  },
  { of: (trunk) => trunk.block_out_channels, describe: (widths) => `blocks of ${list(widths)} channels` },
  { of: (trunk) => trunk.layers_per_block, describe: (layers) => `${list(layers)} layers in its blocks` },
  { of: (trunk) => trunk.in_channels, describe: (channels) => `latents of ${String(channels)} channels` },
]

function list(values: readonly number[] | number | undefined): string {
  return [values].flat().join(', ')
}

/** The family that a UNet or ControlNet belongs to, as far as its inputs tell. */
export function trunkFamily(trunk: TrunkSizes): 'sd1' | 'sd2' | 'sdxl' | undefined {
  if (trunk.addition_embed_type) return 'sdxl'
  const [promptWidth] = trunk.cross_attention_dim
  if (promptWidth === SD1_PROMPT_WIDTH) return 'sd1'
  return promptWidth === SD2_PROMPT_WIDTH ? 'sd2' : undefined
}

const FAMILY_NAMES = { sd1: 'SD1.x', sd2: 'SD2.x', sdxl: 'SDXL' }

function baseKind(trunk: TrunkSizes): string {
  const family = trunkFamily(trunk)
  return family ? FAMILY_NAMES[family] : 'SD'
}
