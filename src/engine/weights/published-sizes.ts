import { SwiftdError } from '../errors.js'

/**
 * What the shapes of a file's tensors do not tell, as all published models have it: SD1.x has 8 heads everywhere, SD2.x and
 * SDXL have 64 channels for each head, and group norms have 32 groups.
 */

const HEAD_WIDTH = 64
const SD1_HEADS = 8
const NORM_GROUPS = 32

/** What all published autoencoders of SD1.x, SD2.x and SDXL are, but for their scaling factors. */
export const PUBLISHED_VAE = {
  block_out_channels: [128, 256, 512, 512],
  latent_channels: 4,
  layers_per_block: 2,
  norm_num_groups: NORM_GROUPS,
}

/** The width of SD1.x's text encoder, by which its UNets are told. */
export const SD1_PROMPT_WIDTH = 768
/** The width of SD2.x's text encoder. */
export const SD2_PROMPT_WIDTH = 1024
/** The widths of SDXL's two text encoders together. */
export const SDXL_PROMPT_WIDTH = 2048

/**
 * Attention heads of a layer of `width` channels.
 * @throws SwiftdError UNSUPPORTED_MODEL where no published model has such a width
 */
export function headsFor(path: string, width: number): number {
  if (width % HEAD_WIDTH === 0) return width / HEAD_WIDTH
  throw unusual(path, `${width} channels are no multiple of ${HEAD_WIDTH}, so the number of attention heads is unknown`)
}

/** Attention heads of each block of a UNet or ControlNet; errors as `headsFor`. */
export function trunkHeads(path: string, widths: readonly number[], promptWidth: number): number[] {
  return widths.map((width) => (promptWidth === SD1_PROMPT_WIDTH ? SD1_HEADS : headsFor(path, width)))
}

/** Groups of the norms of a network whose blocks have these widths; errors as `headsFor`. */
export function groupsFor(path: string, widths: readonly number[]): number {
  const odd = widths.find((width) => width % NORM_GROUPS !== 0)
  if (odd === undefined) return NORM_GROUPS
  throw unusual(path, `${odd} channels are no multiple of ${NORM_GROUPS}, so the number of norm groups is unknown`)
}

function unusual(path: string, reason: string): SwiftdError {
  const advice =
    'put its configuration (a diffusers folder, with or without weights) beside it under its name without the ending, or add it with "swiftd model add --config FOLDER"'
  return new SwiftdError('UNSUPPORTED_MODEL', `${path} has an unusual architecture: ${reason}; ${advice}.`)
}
