import type { StoredDtype, StoredTensor } from './safetensors.js'

/** How much a set of tensors holds. */
export interface WeightsSummary {
  readonly parameters: number
  readonly bytes: number
  /** How they are stored, those with the most bytes first. */
  readonly dtypes: readonly string[]
}

/** Counts the weights among tensors: files also hold indices, such as position ids. */
export function weightsSummary(tensors: readonly StoredTensor[]): WeightsSummary {
  const weights = tensors.filter(isWeight)
  const stored = weights.map(({ dtype, byteLength }) => ({ dtype, bytes: byteLength }))
  return {
    parameters: weights.reduce((sum, { shape }) => sum + shape.reduce((product, dim) => product * dim, 1), 0),
    bytes: stored.reduce((sum, { bytes }) => sum + bytes, 0),
    dtypes: dtypesByBytes(stored),
  }
}

const WEIGHT_DTYPES: readonly StoredDtype[] = ['F16', 'BF16', 'F32', 'F64', 'F8_E4M3', 'F8_E5M2']

/** True for what a network computes with. */
export function isWeight({ dtype }: StoredTensor): boolean {
  return WEIGHT_DTYPES.includes(dtype)
}

/** The dtypes, those with the most bytes first. */
export function dtypesByBytes(parts: readonly { readonly dtype: string; readonly bytes: number }[]): string[] {
  const bytes = new Map<string, number>()
  for (const part of parts) bytes.set(part.dtype, (bytes.get(part.dtype) ?? 0) + part.bytes)
  return [...bytes].sort(([, a], [, b]) => b - a).map(([dtype]) => dtype)
}
