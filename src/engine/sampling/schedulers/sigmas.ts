import { SwiftdError } from '../../errors.js'
import { at } from '../at.js'
import type { SchedulerConfig } from '../scheduler.js'
import { alphasCumprod, type BetaDefaults } from './betas.js'
import { booleanField, optionalNumberField } from './config.js'
import { linspace } from './spacing.js'

/** The 16-bit floats' smallest value, which diffusers puts in the place of ᾱ = 0: its sigma would be infinite. */
const LEAST_ALPHA_BAR = 2 ** -24

/** √((1-ᾱ)/ᾱ) of every training timestep, in float32 as in diffusers: the noise relative to the signal. */
export function trainingSigmas(config: SchedulerConfig, defaults?: BetaDefaults): Float32Array {
  return alphasCumprod(config, defaults).map((stored) => {
    const alphaBar = stored === 0 ? LEAST_ALPHA_BAR : stored
    return Math.sqrt((1 - alphaBar) / alphaBar)
  })
}

/** @throws SwiftdError INVALID_REQUEST if two steps have the same sigma: solvers divide by their distance */
export function checkDecreasing(sigmas: readonly number[]): void {
  if (sigmas.every((sigma, i) => i === 0 || sigma < at(sigmas, i - 1))) return
  throw new SwiftdError(
    'INVALID_REQUEST',
    `${sigmas.length} steps are more than this sampler can tell apart with this model; ask for fewer steps.`,
  )
}

/** The table's value at a fractional index, linear between its entries (numpy.interp). */
export function interpolate(table: ArrayLike<number>, position: number): number {
  const clamped = Math.min(Math.max(position, 0), table.length - 1)
  const low = Math.min(Math.floor(clamped), table.length - 2)
  return at(table, low) + (at(table, low + 1) - at(table, low)) * (clamped - low)
}

/** The fractional training timestep of a sigma: linear in log sigma between the table's entries. */
export function timestepOfSigma(sigma: number, table: Float32Array): number {
  const logSigma = Math.log(Math.max(sigma, 1e-10))
  const logAt = (index: number) => Math.fround(Math.log(at(table, index)))
  // From above: with zero terminal SNR the table's last entry may be less than those before it.
  let low = table.length - 1
  while (low > 0 && logAt(low) > logSigma) low--
  low = Math.min(low, table.length - 2)
  const weight = (logAt(low) - logSigma) / (logAt(low) - logAt(low + 1))
  return low + Math.min(Math.max(weight, 0), 1)
}

export type Respacing = 'karras' | 'exponential' | 'lu'

/** Which of the respacings the config asks for; undefined leaves the timesteps' own sigmas. */
export function respacing(config: SchedulerConfig): Respacing | undefined {
  if (booleanField(config, 'use_karras_sigmas', false)) return 'karras'
  if (booleanField(config, 'use_exponential_sigmas', false)) return 'exponential'
  return booleanField(config, 'use_lu_lambdas', false) ? 'lu' : undefined
}

/**
 * `count` sigmas between the ends of `sigmas` (or the config's `sigma_max` and `sigma_min`), highest first, spaced
 * - karras: evenly in sigma^(1/7), Karras et al. 2022 (arXiv 2206.00364), eq. 5;
 * - exponential: evenly in log sigma;
 * - lu: as exponential; Lu et al. 2022 (arXiv 2206.00927) space evenly in λ = -log sigma.
 */
export function respacedSigmas(
  config: SchedulerConfig,
  kind: Respacing,
  sigmas: readonly number[],
  count: number,
): number[] {
  const max = optionalNumberField(config, 'sigma_max') ?? at(sigmas, 0)
  const min = optionalNumberField(config, 'sigma_min') ?? at(sigmas, sigmas.length - 1)
  if (kind === 'exponential') return linspace(Math.log(max), Math.log(min), count).map(Math.exp)
  // diffusers takes these logarithms in float32.
  if (kind === 'lu') return linspace(Math.fround(Math.log(max)), Math.fround(Math.log(min)), count).map(Math.exp)
  const rho = 7
  return linspace(0, 1, count).map((ramp) => {
    const root = max ** (1 / rho) + ramp * (min ** (1 / rho) - max ** (1 / rho))
    return root ** rho
  })
}
