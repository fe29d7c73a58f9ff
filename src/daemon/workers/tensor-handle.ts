import { z } from 'zod'

/** A float32 tensor in the arena: what messages carry instead of its values. */
export const TensorHandleSchema = z.object({
  /** Of its first value, in bytes from the arena's begin. */
  offset: z.int().min(0),
  byteLength: z.int().min(4),
  dims: z.array(z.int().min(1)).min(1).max(8),
})
export type TensorHandle = z.infer<typeof TensorHandleSchema>

/** Bytes of a float32 tensor of these dims. */
export function float32Bytes(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 4)
}
