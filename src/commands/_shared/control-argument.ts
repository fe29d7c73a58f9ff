import { SwiftdError } from '../../engine/errors.js'
import { describeRange, isInRange, LIMITS, type NumberRange } from '../../daemon/protocol/limits.js'
import type { ControlRequest } from '../../daemon/protocol/control-request.js'
import { CONTROL_MODES, PREPROCESSORS, RESIZE_MODES } from '../../daemon/protocol/words.js'
import { modelReference } from './model-reference.js'

/** How the value of --control is written. */
export const CONTROL_GRAMMAR = 'NAME=IMAGE[:SCALE][:START-END][:KEY=VALUE…]'

/** A ControlNet of a command: its picture is a file. */
export interface ControlArgument {
  readonly file: string
  readonly settings: Omit<ControlRequest, 'image'>
}

type Settings = { -readonly [Key in keyof ControlRequest]?: ControlRequest[Key] }

/** What is wrong with a value, as the end of a sentence; else the settings that it stands for. */
type Reader = (value: string) => Settings | string

const SHORT_RESIZE_MODES = { 'just-resize': 'just', 'crop-and-resize': 'crop', 'resize-and-fill': 'fill' } as const

/** Values that the daemon would refuse are refused here, where the sentence can name the flag. */
const KEYS: Readonly<Record<string, Reader>> = {
  scale: number('scale', LIMITS.controlScale),
  start: number('start', LIMITS.controlTime),
  end: number('end', LIMITS.controlTime),
  pre: word('preprocessor', PREPROCESSORS),
  low: number('lowThreshold', LIMITS.cannyThreshold),
  high: number('highThreshold', LIMITS.cannyThreshold),
  mode: word('controlMode', CONTROL_MODES),
  resize(value) {
    const resizeMode = RESIZE_MODES.find((mode) => mode === value || SHORT_RESIZE_MODES[mode] === value)
    return resizeMode ? { resizeMode } : 'must be just, crop or fill'
  },
  guess(value) {
    if (value !== 'yes' && value !== 'no') return 'must be yes or no'
    return { guessMode: value === 'yes' }
  },
  weights(value) {
    const residualWeights = value.split(',').map(numberOf)
    const valid = residualWeights.every((weight) => isInRange(weight, LIMITS.residualWeight))
    return valid ? { residualWeights } : 'must be numbers such as 1,0.8,0.6'
  },
}

const NUMBER = /^(\d+\.?\d*|\.\d+)$/
const RANGE = /^((?:\d+\.?\d*|\.\d+)?)-((?:\d+\.?\d*|\.\d+)?)$/
const KEY = /^[a-z]+=/

/**
 * Reads one --control: `canny=edges.png`, `canny=edges.png:0.8:0-0.6`, `canny=photo.jpg:pre=canny:mode=prompt:resize=crop`.
 * The parts behind the picture come in any order; the picture's name is all before them.
 * @throws SwiftdError INVALID_REQUEST
 */
export function parseControlArgument(text: string): ControlArgument {
  const equals = text.indexOf('=')
  const [name, rest] = equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)]
  const parts = rest.split(':')
  const options: string[] = []
  while (parts.length > 1 && isOption(parts[parts.length - 1])) options.unshift(parts.pop() as string)
  const file = parts.join(':')
  if (name === '') throw invalid(text, 'names no ControlNet')
  if (file === '') throw invalid(text, 'names no picture')
  const settings: Settings = {}
  for (const option of options) {
    const read = readOption(text, option)
    const twice = Object.keys(read).find((key) => Object.hasOwn(settings, key))
    if (twice !== undefined) throw invalid(text, `says twice what its ${twice} is (again by "${option}")`)
    Object.assign(settings, read)
  }
  const { start = 0, end = 1 } = settings
  if (start > end) throw invalid(text, `begins at ${start}, after its end at ${end}`)
  return { file, settings: { controlNet: modelReference(name), ...settings } }
}

function isOption(part: string): boolean {
  return part === '' || NUMBER.test(part) || (RANGE.test(part) && part !== '-') || KEY.test(part)
}

function readOption(text: string, option: string): Settings {
  const range = RANGE.exec(option)
  if (range) {
    const [, start, end] = range
    return { ...readKey(text, 'start', start || '0'), ...readKey(text, 'end', end || '1') }
  }
  const equals = option.indexOf('=')
  return equals < 0 ? readKey(text, 'scale', option) : readKey(text, option.slice(0, equals), option.slice(equals + 1))
}

function readKey(text: string, key: string, value: string): Settings {
  if (!Object.hasOwn(KEYS, key)) {
    throw invalid(text, `has the unknown key "${key}"; known are ${Object.keys(KEYS).join(', ')}`)
  }
  const read = KEYS[key](value)
  if (typeof read !== 'string') return read
  throw invalid(text, `has the ${key} "${value}", which ${read}`)
}

function number(field: keyof Settings, range: NumberRange): Reader {
  return (value) => {
    const given = numberOf(value)
    return isInRange(given, range) ? { [field]: given } : `must be ${describeRange(range)}`
  }
}

function word(field: keyof Settings, words: readonly string[]): Reader {
  return (value) => (words.includes(value) ? { [field]: value } : `must be one of ${words.join(', ')}`)
}

function numberOf(text: string): number {
  return /^-?(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : NaN
}

function invalid(text: string, what: string): SwiftdError {
  return new SwiftdError('INVALID_REQUEST', `--control "${text}" ${what}; write ${CONTROL_GRAMMAR}.`)
}
