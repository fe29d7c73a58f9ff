import { Flags } from '@oclif/core'
import { LIMITS } from '../../daemon/protocol/limits.js'
import { RESIZE_MODES, VAE_TILINGS } from '../../daemon/protocol/words.js'
import { numberFlag } from './flags.js'

/** Pictures to start from. */
export const PICTURE_FLAGS = {
  image: Flags.string({
    description: 'A picture to start from: a PNG, JPEG or WebP. It gives the image its size if nothing else does.',
    env: 'SWIFTD_IMAGE',
    helpValue: 'FILE',
    helpGroup: 'IMAGE TO IMAGE',
  }),
  mask: Flags.string({
    description: "Where to repaint it: a picture of the image's size that is white there.",
    env: 'SWIFTD_MASK',
    helpValue: 'FILE',
    helpGroup: 'IMAGE TO IMAGE',
  }),
  strength: numberFlag('strength', {
    description: 'How much of it is redone, above 0 and up to 1. 0.8 by default, with a mask 1.',
    env: 'SWIFTD_STRENGTH',
    range: LIMITS.strength,
    helpGroup: 'IMAGE TO IMAGE',
  }),
  'resize-mode': Flags.option({
    description:
      'How a picture of another size is brought to that of the image. just-resize by default, which stretches.',
    env: 'SWIFTD_RESIZE_MODE',
    options: RESIZE_MODES,
    helpGroup: 'IMAGE TO IMAGE',
  })(),
}

/** The autoencoder. */
export const VAE_FLAGS = {
  vae: Flags.string({
    description: "An autoencoder instead of the model's own: a folder, a .safetensors file, or the name of a model.",
    env: 'SWIFTD_VAE',
    helpValue: 'NAME|PATH',
    helpGroup: 'AUTOENCODER',
  }),
  'vae-tiling': Flags.option({
    description: 'Decode in tiles, which takes less memory. By default images over 1024 pixels.',
    env: 'SWIFTD_VAE_TILING',
    options: VAE_TILINGS,
    helpGroup: 'AUTOENCODER',
  })(),
}
