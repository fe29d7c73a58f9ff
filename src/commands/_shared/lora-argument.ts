import { SwiftdError } from '../../engine/errors.js'
import { describeRange, isInRange, LIMITS } from '../../daemon/protocol/limits.js'
import type { LoraRequest } from '../../daemon/protocol/lora-request.js'
import { modelReference } from './model-reference.js'

/** How the value of --lora is written. */
export const LORA_GRAMMAR = 'NAME[:SCALE][@te=SCALE]'

/** What follows the last @, if it is a list of settings; other @ belong to the name. */
const SETTINGS = /^(.*)@((?:te|unet)=.*)$/s
const SCALE = /^(.*):([^:/]*)$/s
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)$/

/**
 * Reads one --lora: `stripes`, `stripes:0.8`, `./my.safetensors:0.8@te=0.5`, `stripes@te=0.5,unet=1`.
 * @throws SwiftdError INVALID_REQUEST
 */
export function parseLoraArgument(text: string): LoraRequest {
  const [, beforeSettings, settings] = SETTINGS.exec(text) ?? [undefined, text, '']
  const [, beforeScale, ending] = SCALE.exec(beforeSettings) ?? []
  // A name may have a tag, as in name:tag, so that only a number is taken for a scale.
  const scaled = beforeScale !== undefined && (ending === '' || NUMBER.test(ending))
  const reference = scaled ? beforeScale : beforeSettings
  if (reference === '') throw invalid(text, 'has no name')
  const scale = scaled ? numberOf(text, 'scale', ending) : undefined
  const named = readSettings(text, settings)
  if (scale !== undefined && named.unet !== undefined) throw invalid(text, 'has two scales for the UNet')
  const unet = scale ?? named.unet
  return {
    name: modelReference(reference),
    ...(unet !== undefined && { scale: unet }),
    ...(named.te !== undefined && { textEncoderScale: named.te }),
  }
}

function readSettings(text: string, settings: string): { te?: number; unet?: number } {
  const read: { te?: number; unet?: number } = {}
  for (const setting of settings === '' ? [] : settings.split(',')) {
    const [key, value, ...more] = setting.split('=')
    if ((key !== 'te' && key !== 'unet') || value === undefined || more.length > 0) {
      throw invalid(text, `has "${setting}" behind the @, where te=SCALE and unet=SCALE are known`)
    }
    if (read[key] !== undefined) throw invalid(text, `has ${key}= twice`)
    read[key] = numberOf(text, key, value)
  }
  return read
}

function numberOf(text: string, what: string, value: string): number {
  const number = NUMBER.test(value) ? Number(value) : NaN
  if (isInRange(number, LIMITS.loraScale)) return number
  throw invalid(text, `has the ${what} "${value}", which must be ${describeRange(LIMITS.loraScale)}`)
}

function invalid(text: string, what: string): SwiftdError {
  return new SwiftdError('INVALID_REQUEST', `--lora "${text}" ${what}; write ${LORA_GRAMMAR}.`)
}
