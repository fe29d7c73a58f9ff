/** What a graph is built for: the same network is another graph where a provider has operators of its own. */
export interface GraphTarget {
  readonly precision: Precision
  /** Whose fused operators may be used; `portable` ones run on every provider. */
  readonly operators: 'portable' | 'cuda' | 'webgpu'
  /** Whether the provider's own attention is used, or one made of matrix products, which takes more memory. */
  readonly attention: 'fused' | 'plain'
}

/** Types of weights and of what flows between operators. */
export type FloatType = 'float32' | 'float16'

/**
 * Types of a precision. What a graph takes from the host and gives to it is float32 in each; what one graph leaves on the device
 * for another one has the type of `values`.
 */
interface PrecisionTypes {
  /** How the device keeps matrices and kernels, and writes patched ones. A graph widens them as it reads them. */
  readonly weights: FloatType
  /** What is computed, and flows between operators; biases and norms are kept in it, too. */
  readonly values: FloatType
}

const PRECISION_TYPES = {
  float32: { weights: 'float32', values: 'float32' },
  /** Half the memory for weights, and sums as good as in float32. */
  mixed: { weights: 'float16', values: 'float32' },
  float16: { weights: 'float16', values: 'float16' },
} as const satisfies Readonly<Record<string, PrecisionTypes>>

export type Precision = keyof typeof PRECISION_TYPES

export const PRECISIONS = Object.keys(PRECISION_TYPES) as readonly Precision[]

export function typesOf({ precision }: Pick<GraphTarget, 'precision'>): PrecisionTypes {
  return PRECISION_TYPES[precision]
}

/** How a device keeps a weight: half precision would save little of a vector, and each one that is widened is a run more. */
export function weightType(target: Pick<GraphTarget, 'precision'>, { length: axes }: readonly number[]): FloatType {
  const { weights, values } = typesOf(target)
  return axes > 1 ? weights : values
}

/** Runs everywhere; what the goldens are compared with. */
export const PORTABLE: GraphTarget = { precision: 'float32', operators: 'portable', attention: 'fused' }
