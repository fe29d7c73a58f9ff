import { z } from 'zod'

/** A dense tensor on the JavaScript side; 64-bit integers are held as doubles. */
export interface Tensor {
  readonly shape: readonly number[]
  readonly data: Float32Array | Float64Array | Uint8Array | Int32Array
}

/** One comparison of the engine's value with the expected one. */
export interface Measurement {
  /** What was compared, such as `trajectory`. */
  readonly quantity: string
  /** The measure, as the goldens' README names it. */
  readonly measure: string
  /** The largest error that passes. */
  readonly limit: number
  /** The measured error; infinite where shapes differ or a value is not finite. */
  readonly error: number
  readonly passed: boolean
  /** Why nothing could be measured. */
  readonly note?: string
}

/** The tolerances that goldens state for one tensor. Fields that only inform (`float32_noise`, `why`) are ignored. */
export const toleranceSchema = z.union([
  z.literal('exact'),
  z.looseObject({ max_abs_over_max: z.number() }),
  z.looseObject({ max_rel_per_value: z.number(), max_abs: z.number() }),
  z.looseObject({ max_abs: z.number() }),
  z.looseObject({ max_level_difference: z.number(), mean_level_difference: z.number() }),
])
export type Tolerance = z.infer<typeof toleranceSchema>

export interface MeasureOptions {
  /** Judge every slice of the first axis by its own largest value (trajectories). */
  readonly perSlice?: boolean
}

/** Compares two tensors by whichever rule `tolerance` states. 8-bit pictures give two measurements. */
export function measure(
  quantity: string,
  tolerance: Tolerance,
  actual: Tensor,
  expected: Tensor,
  options: MeasureOptions = {},
): Measurement[] {
  if (tolerance === 'exact') return [measureExact(quantity, actual, expected)]
  if (isLevels(tolerance)) return measureLevels(quantity, tolerance, actual, expected)
  if (isRelative(tolerance)) return [measureRelative(quantity, tolerance, actual, expected)]
  if (isOverMax(tolerance)) {
    return [measureOverMax(quantity, tolerance.max_abs_over_max, actual, expected, options.perSlice)]
  }
  return [measureMaxAbs(quantity, tolerance.max_abs, actual, expected)]
}

/** max|actual - expected| / max|expected| over the tensor, or the worst slice of its first axis. */
export function measureOverMax(
  quantity: string,
  limit: number,
  actual: Tensor,
  expected: Tensor,
  perSlice = false,
): Measurement {
  return compare(quantity, 'max_abs_over_max', limit, actual, expected, () => {
    const slices = perSlice ? (expected.shape[0] ?? 1) : 1
    const length = expected.data.length / Math.max(slices, 1)
    let worst = 0
    for (let slice = 0; slice < slices; slice++) {
      const begin = slice * length
      let largest = 0
      for (let i = begin; i < begin + length; i++) largest = Math.max(largest, Math.abs(expected.data[i]))
      const difference = largestDifference(actual.data, expected.data, begin, begin + length)
      // A tensor of zeros leaves no scale: then only zeros are right.
      worst = Math.max(worst, difference === 0 ? 0 : difference / largest)
    }
    return worst
  })
}

/** max|actual - expected|. */
export function measureMaxAbs(quantity: string, limit: number, actual: Tensor, expected: Tensor): Measurement {
  return compare(quantity, 'max_abs', limit, actual, expected, () =>
    largestDifference(actual.data, expected.data, 0, expected.data.length),
  )
}

/** Every value equal. */
export function measureExact(quantity: string, actual: Tensor, expected: Tensor): Measurement {
  return { ...measureMaxAbs(quantity, 0, actual, expected), measure: 'exact' }
}

/** Each value within `max_rel_per_value` of the expected one, or within `max_abs` where that is more. */
function measureRelative(
  quantity: string,
  tolerance: RelativeTolerance,
  actual: Tensor,
  expected: Tensor,
): Measurement {
  const { max_rel_per_value: limit, max_abs: maxAbs } = tolerance
  // |a - e| <= max(limit |e|, maxAbs) is the same as |a - e| / max(|e|, maxAbs / limit) <= limit.
  const floor = maxAbs / limit
  return compare(quantity, 'max_rel_per_value', limit, actual, expected, () => {
    let worst = 0
    for (let i = 0; i < expected.data.length; i++) {
      const scale = Math.max(Math.abs(expected.data[i]), floor)
      worst = Math.max(worst, Math.abs(actual.data[i] - expected.data[i]) / scale)
    }
    return worst
  })
}

/** The largest and the mean difference of 8-bit pictures, in levels. */
function measureLevels(quantity: string, tolerance: LevelTolerance, actual: Tensor, expected: Tensor): Measurement[] {
  const { max_level_difference: largest, mean_level_difference: mean } = tolerance
  return [
    compare(quantity, 'max_level_difference', largest, actual, expected, () =>
      largestDifference(actual.data, expected.data, 0, expected.data.length),
    ),
    compare(quantity, 'mean_level_difference', mean, actual, expected, () => {
      let sum = 0
      for (let i = 0; i < expected.data.length; i++) sum += Math.abs(actual.data[i] - expected.data[i])
      return sum / Math.max(expected.data.length, 1)
    }),
  ]
}

function compare(
  quantity: string,
  measureName: string,
  limit: number,
  actual: Tensor,
  expected: Tensor,
  errorOf: () => number,
): Measurement {
  const failed = (note: string) => ({ quantity, measure: measureName, limit, error: Infinity, passed: false, note })
  if (actual.shape.join() !== expected.shape.join() || actual.data.length !== expected.data.length) {
    return failed(`the shape is [${actual.shape.join(', ')}], expected [${expected.shape.join(', ')}]`)
  }
  const bad = (actual.data as Float64Array).findIndex((value) => !Number.isFinite(value))
  if (bad >= 0) return failed(`value ${bad} is ${actual.data[bad]}`)
  const error = errorOf()
  return { quantity, measure: measureName, limit, error, passed: error <= limit }
}

function largestDifference(actual: Tensor['data'], expected: Tensor['data'], begin: number, end: number): number {
  let largest = 0
  for (let i = begin; i < end; i++) {
    const difference = Math.abs(actual[i] - expected[i])
    // Written so that a difference that is no number is kept.
    if (!(difference <= largest)) largest = difference
  }
  return largest
}

type Limits = Exclude<Tolerance, 'exact'>
type RelativeTolerance = Extract<Limits, { max_rel_per_value: number }>
type LevelTolerance = Extract<Limits, { max_level_difference: number }>
type OverMaxTolerance = Extract<Limits, { max_abs_over_max: number }>

function isRelative(tolerance: Limits): tolerance is RelativeTolerance {
  return 'max_rel_per_value' in tolerance
}

function isLevels(tolerance: Limits): tolerance is LevelTolerance {
  return 'max_level_difference' in tolerance
}

function isOverMax(tolerance: Limits): tolerance is OverMaxTolerance {
  return 'max_abs_over_max' in tolerance
}
