/** A tensor and what it is multiplied by. */
export type Term = readonly [factor: number, values: Float32Array]

/**
 * Σ factor · values, a new array: every solver's step is such a sum. Sums are kept in double precision and rounded once.
 * Terms with the factor 0 are left out, so what they hold does not matter.
 * @param terms at least one, all of the same length
 */
export function combine(...terms: readonly Term[]): Float32Array {
  if (terms.length === 0) throw new RangeError('A sum needs a term.')
  const length = terms[0][1].length
  const sums = new Float64Array(length)
  for (const [factor, values] of terms) {
    if (values.length !== length) throw new RangeError(`Cannot add ${values.length} values to ${length}.`)
    if (factor === 0) continue
    for (let i = 0; i < length; i++) sums[i] += factor * values[i]
  }
  // Not Float32Array.from, which walks an iterator: ten times as slow, at every step.
  return new Float32Array(sums)
}

/** Every value limited to -range..range, a new array. */
export function clamp(values: Float32Array, range: number): Float32Array {
  const out = new Float32Array(values.length)
  for (let i = 0; i < values.length; i++) out[i] = Math.min(Math.max(values[i], -range), range)
  return out
}
