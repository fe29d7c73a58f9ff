/** What a graph is built for: the same network is another graph where a provider has operators of its own. */
export interface GraphTarget {
  /**
   * Type of the weights and of what flows between operators. What a graph takes from the host and gives to it stays float32;
   * what one graph leaves on the device for another one has this type.
   */
  readonly precision: Precision
  /** Whose fused operators may be used; `portable` ones run on every provider. */
  readonly operators: 'portable' | 'cuda' | 'webgpu'
  /** Whether the provider's own attention is used, or one made of matrix products, which takes more memory. */
  readonly attention: 'fused' | 'plain'
}

export const PRECISIONS = ['float32', 'float16'] as const

export type Precision = (typeof PRECISIONS)[number]

/** Runs everywhere; what the goldens are compared with. */
export const PORTABLE: GraphTarget = { precision: 'float32', operators: 'portable', attention: 'fused' }
