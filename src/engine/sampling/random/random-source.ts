/** A seeded stream of standard normal numbers. */
export interface RandomSource {
  /**
   * Draws one tensor of `count` standard normal values. One call is one tensor of the reference: generators may use
   * another method for small tensors, so drawing 8 + 8 values is not drawing 16.
   */
  normal(count: number): Float32Array
}
