import type { RgbImage } from '../../src/engine/image/pixels.js'

const RADIUS = 5
const DEVIATION = 1.5

/** 11 Gaussian weights with the sum 1. */
const WINDOW = ((): readonly number[] => {
  const weights = Array.from({ length: 2 * RADIUS + 1 }, (_, i) =>
    Math.exp(-((i - RADIUS) ** 2) / (2 * DEVIATION ** 2)),
  )
  const sum = weights.reduce((total, weight) => total + weight, 0)
  return weights.map((weight) => weight / sum)
})()

/**
 * Structural similarity of two pictures of one size, at least 11x11: 1 for equal ones.
 *
 * Wang et al. 2004 with their constants: an 11x11 Gaussian window of deviation 1.5, K1 = 0.01, K2 = 0.03, range 255, the
 * mean over all windows that lie inside the picture. Taken on each of the channels R, G and B, and averaged.
 */
export function ssim(a: RgbImage, b: RgbImage): number {
  const { width, height } = a
  if (b.width !== width || b.height !== height || Math.min(width, height) < WINDOW.length) {
    throw new TypeError(`Pictures of ${width}x${height} and ${b.width}x${b.height} cannot be compared.`)
  }
  const channels = [0, 1, 2].map((channel) => {
    const plane = ({ data }: RgbImage): Float64Array =>
      Float64Array.from({ length: width * height }, (_, i) => data[3 * i + channel])
    return planeSsim(plane(a), plane(b), width)
  })
  return channels.reduce((sum, each) => sum + each, 0) / 3
}

function planeSsim(a: Float64Array, b: Float64Array, width: number): number {
  const product = (x: Float64Array, y: Float64Array): Float64Array => x.map((value, i) => value * y[i])
  const meanA = windowMeans(a, width)
  const meanB = windowMeans(b, width)
  const squareA = windowMeans(product(a, a), width)
  const squareB = windowMeans(product(b, b), width)
  const cross = windowMeans(product(a, b), width)
  const c1 = (0.01 * 255) ** 2
  const c2 = (0.03 * 255) ** 2
  let sum = 0
  meanA.forEach((x, i) => {
    const y = meanB[i]
    const covariance = cross[i] - x * y
    const variances = squareA[i] - x * x + (squareB[i] - y * y)
    sum += ((2 * x * y + c1) * (2 * covariance + c2)) / ((x * x + y * y + c1) * (variances + c2))
  })
  return sum / meanA.length
}

/** Weighted means over every window inside the plane: first along rows, then along columns. */
function windowMeans(plane: Float64Array, width: number): Float64Array {
  const height = plane.length / width
  const columns = width - 2 * RADIUS
  const rows = height - 2 * RADIUS
  const across = new Float64Array(columns * height)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < columns; x++) {
      let sum = 0
      for (let i = 0; i < WINDOW.length; i++) sum += WINDOW[i] * plane[y * width + x + i]
      across[y * columns + x] = sum
    }
  }
  const means = new Float64Array(columns * rows)
  for (let at = 0; at < means.length; at++) {
    let sum = 0
    for (let i = 0; i < WINDOW.length; i++) sum += WINDOW[i] * across[at + i * columns]
    means[at] = sum
  }
  return means
}
