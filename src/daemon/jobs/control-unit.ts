import type { z } from 'zod'
import type { ControlSettingsSchema, ResolvedControl } from '../protocol/control-request.js'
import { CONTROL_MODES, PREPROCESSORS, RESIZE_MODES } from '../protocol/words.js'
import { displayName } from './weight-hashes.js'

/** How images tell of a ControlNet: by sd-webui-controlnet's names and labels (scripts/infotext.py, scripts/enums.py). */

const RESIZE_LABELS = {
  'just-resize': 'Just Resize',
  'crop-and-resize': 'Crop and Resize',
  'resize-and-fill': 'Resize and Fill',
} as const

const MODE_LABELS = {
  balanced: 'Balanced',
  prompt: 'My prompt is more important',
  control: 'ControlNet is more important',
} as const

/** @param hash the first eight digits of the SHA-256 of its weights */
export function formatUnit(control: ResolvedControl, hash: string): Record<string, string> {
  const canny = control.preprocessor === 'canny'
  return textsOf({
    Module: control.preprocessor,
    Model: `${displayName(control.controlNet)} [${hash}]`,
    Weight: decimal(control.scale),
    'Resize Mode': RESIZE_LABELS[control.resizeMode],
    'Threshold A': canny ? control.lowThreshold : undefined,
    'Threshold B': canny ? control.highThreshold : undefined,
    'Guidance Start': decimal(control.start),
    'Guidance End': decimal(control.end),
    'Control Mode': MODE_LABELS[control.controlMode],
    'Guess Mode': control.guessMode ? 'True' : undefined,
    'Residual weights': control.residualWeights?.join(' '),
  })
}

/** Reads what `formatUnit` or sd-webui-controlnet wrote; what it does not say, or not in numbers, is as by default. */
export function unitSettings(unit: Readonly<Record<string, string>>): z.infer<typeof ControlSettingsSchema> {
  const number = (key: string, fallback: number): number => {
    const value = Number(unit[key] ?? NaN)
    return Number.isFinite(value) && value >= 0 ? value : fallback
  }
  const weights = unit['Residual weights']?.split(' ').map(Number)
  return {
    controlNet: (unit.Model ?? 'unknown').replace(/ \[[0-9a-f]+\]$/, ''),
    preprocessor: PREPROCESSORS.find((name) => name === unit.Module) ?? 'none',
    lowThreshold: number('Threshold A', 100),
    highThreshold: number('Threshold B', 200),
    resizeMode: RESIZE_MODES.find((mode) => RESIZE_LABELS[mode] === unit['Resize Mode']) ?? 'crop-and-resize',
    scale: number('Weight', 1),
    start: number('Guidance Start', 0),
    end: number('Guidance End', 1),
    controlMode: CONTROL_MODES.find((mode) => MODE_LABELS[mode] === unit['Control Mode']) ?? 'balanced',
    guessMode: unit['Guess Mode'] === 'True',
    ...(weights?.every(Number.isFinite) && { residualWeights: weights }),
  }
}

/** The settings that have a value, as texts. */
export function textsOf(values: Readonly<Record<string, string | number | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]])),
  )
}

/** As Python writes a float. */
function decimal(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value)
}
