/**
 * How the prompt and a ControlNet share the say (sd-webui-controlnet's control modes). `balanced`: as they are. `prompt`:
 * residuals count less the earlier they enter. `control`: the same, and only the positive half of the guidance sees them.
 */
export type ControlMode = 'balanced' | 'prompt' | 'control'

/** How strongly the residuals of a ControlNet count. */
export interface ControlStrength {
  /** The factor of all of them. */
  readonly scale: number
  /** diffusers' guess_mode: it sees only the positive half, and residuals count less the earlier they enter. */
  readonly guessMode: boolean
  /** @default 'balanced' */
  readonly mode?: ControlMode
  /** Further factors, one for each residual, the mid block's last. Missing ones are 1. */
  readonly residualWeights?: readonly number[]
}

/** sd-webui-controlnet's soft weights (its control_scales): 0.825 to the power of 12 - i, for SDXL's ten residuals, too. */
const SOFT_BASE = 0.825
const SOFT_LAST = 12

/** The factor of each of `count` residuals. Guess mode weighs them by logspace(-1, 0) (diffusers' ControlNetModel). */
export function residualScales(strength: ControlStrength, count: number): number[] {
  const { scale, guessMode, mode = 'balanced', residualWeights } = strength
  return Array.from({ length: count }, (_, index) => {
    const guess = guessMode ? 10 ** (-1 + index / (count - 1)) : 1
    const soft = mode === 'balanced' ? 1 : SOFT_BASE ** (SOFT_LAST - index)
    return scale * guess * soft * (residualWeights?.[index] ?? 1)
  })
}

/** Whether only the positive half of the guidance gets residuals. */
export function isPositiveOnly({ guessMode, mode }: Pick<ControlStrength, 'guessMode' | 'mode'>): boolean {
  return guessMode || mode === 'control'
}
