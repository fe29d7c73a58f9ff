import type { SchedulerConfig } from '../scheduler.js'
import { booleanField, choiceField, invalidField, numberField, trainTimesteps } from './config.js'

/** What a class's `__init__` assumes of the noise that the model was trained with. */
export interface BetaDefaults {
  readonly start: number
  readonly end: number
  readonly schedule: 'linear' | 'scaled_linear'
}

export const DEFAULT_BETAS: BetaDefaults = { start: 0.0001, end: 0.02, schedule: 'linear' }

/**
 * ᾱ of every training timestep: the share of the signal's variance that is left. Rounded to float32 where diffusers
 * does (`alphas_cumprod` of every scheduler), because sigmas are sensitive to it.
 * @throws SwiftdError INVALID_CONFIG if the config names a schedule that is not known
 */
export function alphasCumprod(config: SchedulerConfig, defaults = DEFAULT_BETAS): Float32Array {
  const betas = trainingBetas(config, defaults)
  return cumulativeAlphas(booleanField(config, 'rescale_betas_zero_snr', false) ? rescaleZeroSnr(betas) : betas)
}

function trainingBetas(config: SchedulerConfig, defaults: BetaDefaults): Float32Array {
  const count = trainTimesteps(config)
  const trained = config.trained_betas
  if (trained !== undefined && trained !== null) {
    if (Array.isArray(trained) && trained.length === count) return Float32Array.from(trained)
    throw invalidField('trained_betas', trained, `null, or ${count} numbers`)
  }
  const schedule = choiceField(
    config,
    'beta_schedule',
    ['linear', 'scaled_linear', 'squaredcos_cap_v2'],
    defaults.schedule,
  )
  const start = numberField(config, 'beta_start', defaults.start)
  const end = numberField(config, 'beta_end', defaults.end)
  switch (schedule) {
    case 'linear':
      return linspaceFloat32(start, end, count)
    case 'scaled_linear':
      return linspaceFloat32(Math.sqrt(start), Math.sqrt(end), count).map((root) => root * root)
    case 'squaredcos_cap_v2':
      return cosineBetas(count)
  }
}

/** Nichol and Dhariwal 2021 (arXiv 2102.09672), eq. 17, with their cap of 0.999. */
function cosineBetas(count: number): Float32Array {
  const alphaBar = (time: number) => Math.cos((((time + 0.008) / 1.008) * Math.PI) / 2) ** 2
  return Float32Array.from({ length: count }, (_, i) =>
    Math.min(1 - alphaBar((i + 1) / count) / alphaBar(i / count), 0.999),
  )
}

/**
 * Shifts and scales √ᾱ so that the last timestep is pure noise: Lin et al. 2023 (arXiv 2305.08891), algorithm 1, and
 * `rescale_zero_terminal_snr` of diffusers.
 */
function rescaleZeroSnr(betas: Float32Array): Float32Array {
  const roots = cumulativeAlphas(betas).map(Math.sqrt)
  const first = roots[0]
  const last = roots[roots.length - 1]
  const stretch = Math.fround(first / Math.fround(first - last))
  const alphaBars = roots.map((root) => {
    const shifted = Math.fround(Math.fround(root - last) * stretch)
    return shifted * shifted
  })
  return alphaBars.map((alphaBar, i) => {
    const alpha = i === 0 ? alphaBar : Math.fround(alphaBar / alphaBars[i - 1])
    return 1 - alpha
  })
}

/** The running product is a double that is rounded at every timestep, as PyTorch's cumprod does on the CPU. */
function cumulativeAlphas(betas: Float32Array): Float32Array {
  let product = 1
  return betas.map((beta) => (product *= Math.fround(1 - beta)))
}

/** torch.linspace in float32: from both ends to the middle. */
function linspaceFloat32(start: number, end: number, count: number): Float32Array {
  const [from, to] = [Math.fround(start), Math.fround(end)]
  const step = Math.fround(Math.fround(to - from) / (count - 1))
  return Float32Array.from({ length: count }, (_, i) =>
    i < count / 2 ? from + Math.fround(step * i) : to - Math.fround(step * (count - 1 - i)),
  )
}
