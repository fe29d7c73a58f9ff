/** What a graph is built for: the same network is another graph where a provider has operators of its own. */
export interface GraphTarget {
  /**
   * Type of the weights and of what flows between operators. What a graph takes from the host and gives to it stays float32;
   * what one graph leaves on the device for another one has this type.
   */
  readonly precision: Precision
  /** Whose fused operators may be used; `portable` ones run on every provider. */
  readonly operators: 'portable' | 'cuda'
  /**
   * Whether attention is one operator or spelled out, which takes far more memory: for devices whose fused attention is
   * wrong (`buildAttentionProbe`). @default fused
   */
  readonly attention?: 'fused' | 'plain'
}

export type Precision = 'float32' | 'float16'

/** Runs everywhere; what the goldens are compared with. */
export const PORTABLE: GraphTarget = { precision: 'float32', operators: 'portable' }
