import type { PredictionType } from './config.js'

/** `values = sample · sample + output · output`: what a prediction says, as factors of its two ingredients. */
export interface Factors {
  readonly sample: number
  readonly output: number
}

/**
 * The clean latents x0 that a model output stands for, where a noisy sample is `alpha · x0 + sigma · noise`.
 * With `alpha² + sigma² = 1` this is the variance-preserving form of DDIM and DPM-Solver.
 */
export function originalFactors(type: PredictionType, alpha: number, sigma: number): Factors {
  switch (type) {
    case 'epsilon':
      return { sample: 1 / alpha, output: -sigma / alpha }
    case 'v_prediction':
      return { sample: alpha, output: -sigma }
    case 'sample':
      return { sample: 0, output: 1 }
  }
}

/** The noise that a model output stands for, in the same form. */
export function noiseFactors(type: PredictionType, alpha: number, sigma: number): Factors {
  switch (type) {
    case 'epsilon':
      return { sample: 0, output: 1 }
    case 'v_prediction':
      return { sample: sigma, output: alpha }
    case 'sample':
      return { sample: 1 / sigma, output: -alpha / sigma }
  }
}

/** x0 where a noisy sample is `x0 + sigma · noise` and the model saw it scaled by 1/√(sigma² + 1): the form of k-diffusion. */
export function originalFactorsOfSigma(type: PredictionType, sigma: number): Factors {
  switch (type) {
    case 'epsilon':
      return { sample: 1, output: -sigma }
    case 'v_prediction':
      return { sample: 1 / (sigma * sigma + 1), output: -sigma / Math.sqrt(sigma * sigma + 1) }
    case 'sample':
      return { sample: 0, output: 1 }
  }
}
