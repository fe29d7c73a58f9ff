import { Flags } from '@oclif/core'
import { SwiftdError } from '../../engine/errors.js'
import { isLoraBound, LIMITS, LORA_BOUND } from '../../daemon/protocol/limits.js'
import { CONTROL_GRAMMAR, parseControlArgument } from './control-argument.js'
import { numberFlag } from './flags.js'
import { listFlag } from './list-flag.js'
import { LORA_GRAMMAR, parseLoraArgument } from './lora-argument.js'
import { resolvedFlagDefault, settingFlag } from './setting-values.js'

/** LoRAs, and when they take effect. */
export const LORA_FLAGS = {
  lora: listFlag({
    description: `A LoRA, ${LORA_GRAMMAR}, such as stripes:0.8; te= is the scale for the text encoders.`,
    env: 'SWIFTD_LORA',
    separator: ';',
    helpValue: 'LORA',
    helpGroup: 'LORA',
    parse: parseLoraArgument,
  }),
  'lora-bound': Flags.custom<number>({
    description:
      'Steps that may run while LoRAs still load: a number, or a share below 1. 0, the default, waits for them.',
    ...settingFlag('lora-bound'),
    helpValue: 'N',
    helpGroup: 'LORA',
    parse(text) {
      const value = text.trim() === '' ? NaN : Number(text)
      if (isLoraBound(value)) return Promise.resolve(value)
      const sentence = `--lora-bound must be ${LORA_BOUND}, not "${text}".`
      return Promise.reject(new SwiftdError('INVALID_REQUEST', sentence))
    },
  })(),
  'lora-at': numberFlag('lora-at', {
    description: 'The step at which LoRAs take effect, whenever they are loaded.',
    env: 'SWIFTD_LORA_AT',
    range: LIMITS.loraAt,
    helpGroup: 'LORA',
  }),
  'lora-partial': Flags.boolean({
    description: 'Take LoRAs of which only some layers fit the model.',
    env: 'SWIFTD_LORA_PARTIAL',
    allowNo: true,
    helpGroup: 'LORA',
  }),
}

/** ControlNets. */
export const CONTROL_FLAGS = {
  control: listFlag({
    description:
      `A ControlNet and its picture, ${CONTROL_GRAMMAR}, such as canny=edges.png:0.8:0-0.6. ` +
      'Keys: pre=canny|invert, low=, high=, mode=balanced|prompt|control, resize=just|crop|fill, guess=yes, weights=.',
    env: 'SWIFTD_CONTROL',
    separator: ';',
    helpValue: 'CONTROL',
    helpGroup: 'CONTROLNET',
    parse: parseControlArgument,
  }),
}

/** Which devices a job runs on. */
export const PLACEMENT_FLAGS = {
  'latent-parallel': Flags.boolean({
    description:
      'Run the two halves of the guidance on two devices. SWIFTD_LATENT_PARALLEL and the setting may also be "auto": where ' +
      'that is predicted to be faster.',
    // oclif takes "auto" in the environment for no, and a default that is no boolean; its types do not know that.
    default: resolvedFlagDefault('latent-parallel') as () => Promise<boolean>,
    noCacheDefault: true,
    allowNo: true,
    helpGroup: 'DEVICES',
  }),
  'base-device': Flags.string({
    description: 'The device of the UNet. By default the daemon chooses.',
    ...settingFlag('base-device'),
    helpValue: 'NAME',
    helpGroup: 'DEVICES',
  }),
  'second-device': Flags.string({
    description: 'The device of the other half with --latent-parallel.',
    ...settingFlag('second-device'),
    helpValue: 'NAME',
    helpGroup: 'DEVICES',
  }),
  'text-device': Flags.string({
    description: 'The device of the text encoders and the autoencoder. By default the base device.',
    ...settingFlag('text-device'),
    helpValue: 'NAME',
    helpGroup: 'DEVICES',
  }),
  'controlnet-device': listFlag({
    description: 'The device of a ControlNet, in their order.',
    ...settingFlag('controlnet-device'),
    separator: ',',
    helpValue: 'NAME',
    helpGroup: 'DEVICES',
    parse: (name) => name,
  }),
}
