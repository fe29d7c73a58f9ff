/** What devices can be told to compute in. */
export const PRECISION_CHOICES = ['auto', 'float16', 'mixed', 'float32'] as const
