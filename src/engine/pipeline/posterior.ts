import type { Tensor } from './stages.js'

/** The autoencoder's diagonal Gaussian over latents; both (N, C, h, w), not scaled. */
export interface Posterior {
  readonly mean: Float32Array
  readonly logvar: Float32Array
}

/** Splits the encoder's moments (N, 2C, h, w) as diffusers' DiagonalGaussianDistribution does: log variance in -30..20. */
export function posteriorOf({ data, dims }: Pick<Tensor, 'data' | 'dims'>): Posterior {
  const count = dims[0]
  const half = data.length / count / 2
  const mean = new Float32Array(count * half)
  const logvar = new Float32Array(count * half)
  for (let image = 0; image < count; image++) {
    const begin = image * 2 * half
    mean.set(data.subarray(begin, begin + half), image * half)
    for (let i = 0; i < half; i++) {
      logvar[image * half + i] = Math.min(20, Math.max(-30, data[begin + half + i]))
    }
  }
  return { mean, logvar }
}
