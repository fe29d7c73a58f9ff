/**
 * Classifier-free guidance: `out = negative + scale · (positive - negative)`, Ho and Salimans 2022 (arXiv 2207.12598)
 * in diffusers' form.
 * @param out receives the guided prediction; may be `negative` or `positive`
 * @param negative the prediction for the negative prompt
 * @param positive the prediction for the prompt, of the same length
 */
export function applyGuidance(out: Float32Array, negative: Float32Array, positive: Float32Array, scale: number): void {
  checkLengths(out, negative, positive)
  for (let i = 0; i < out.length; i++) out[i] = negative[i] + scale * (positive[i] - negative[i])
}

/**
 * Brings each image's guided prediction towards the deviation of its unguided one, against overexposure: Lin et al. 2023
 * (arXiv 2305.08891), eq. 15 and 16, and `rescale_noise_cfg` of diffusers.
 * @param guided changed in place
 * @param positive the prediction for the prompt, of the same length
 * @param rescale 0 leaves `guided` as it is, 1 gives it all of the deviation of `positive`
 * @param batch how many images the predictions hold
 */
export function rescaleGuidance(guided: Float32Array, positive: Float32Array, rescale: number, batch = 1): void {
  checkLengths(guided, positive)
  if (!Number.isInteger(batch) || batch < 1 || guided.length % batch !== 0) {
    throw new RangeError(`Cannot divide ${guided.length} values among ${batch} images.`)
  }
  const length = guided.length / batch
  for (let image = 0; image < batch; image++) {
    const values = guided.subarray(image * length, (image + 1) * length)
    const target = standardDeviation(positive.subarray(image * length, (image + 1) * length))
    const deviation = standardDeviation(values)
    // A constant prediction has no deviation to change.
    if (deviation === 0) continue
    const factor = rescale * (target / deviation) + (1 - rescale)
    for (let i = 0; i < length; i++) values[i] *= factor
  }
}

/** With Bessel's correction, as torch.std. */
function standardDeviation(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return Math.sqrt(squares / (values.length - 1))
}

function checkLengths(first: Float32Array, ...others: readonly Float32Array[]): void {
  for (const { length } of others) {
    if (length !== first.length)
      throw new RangeError(`Predictions of ${first.length} and ${length} values do not match.`)
  }
}
