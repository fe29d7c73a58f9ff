import { createMt19937, type WordSource } from './mt19937.js'
import type { RandomSource } from './random-source.js'

/** PyTorch fills tensors of at least this many values block by block, smaller ones value by value. */
const BLOCK = 16
const HALF_BLOCK = 8
const TWO_PI_FLOAT32 = Math.fround(2 * Math.PI)

/**
 * PyTorch's CPU generator: `torch.manual_seed(seed)`, each `normal(count)` one `torch.randn` in float32
 * (ATen/native/cpu/DistributionTemplates.h and ATen/core/DistributionsHelper.h). The integers drawn are the same to the
 * bit; values may differ in the last bits of log and cos, as PyTorch's own builds do among each other.
 * @param seed any integer; like PyTorch's CPU generator it uses the lowest 32 bits
 */
export function createTorchCpuRandom(seed: bigint): RandomSource {
  const words = createMt19937(Number(BigInt.asUintN(32, seed)))
  const nextDouble = createPairedNormal(words)
  return {
    normal(count) {
      if (count >= BLOCK) return fillInBlocks(words, count)
      return Float32Array.from({ length: count }, nextDouble)
    },
  }
}

function fillInBlocks(words: WordSource, count: number): Float32Array {
  const values = new Float32Array(count)
  for (let i = 0; i < count; i++) values[i] = uniformFloat(words)
  for (let begin = 0; begin + BLOCK <= count; begin += BLOCK) transformBlock(values.subarray(begin, begin + BLOCK))
  if (count % BLOCK !== 0) {
    // The incomplete block's place is taken by the last 16 values, drawn anew.
    const tail = values.subarray(count - BLOCK)
    for (let i = 0; i < BLOCK; i++) tail[i] = uniformFloat(words)
    transformBlock(tail)
  }
  return values
}

/** Box-Muller on 16 uniform values in place: the first eight give the radii, the others the angles. */
function transformBlock(block: Float32Array): void {
  for (let i = 0; i < HALF_BLOCK; i++) {
    const logarithm = Math.fround(Math.log(1 - (block[i] ?? 0)))
    const radius = Math.fround(Math.sqrt(-2 * logarithm))
    const theta = Math.fround(TWO_PI_FLOAT32 * (block[i + HALF_BLOCK] ?? 0))
    block[i] = radius * Math.fround(Math.cos(theta))
    block[i + HALF_BLOCK] = radius * Math.fround(Math.sin(theta))
  }
}

/** Box-Muller in double precision. The second value of a pair is kept for the next call, also across tensors. */
function createPairedNormal(words: WordSource): () => number {
  let kept: number | undefined
  return () => {
    if (kept !== undefined) {
      const value = kept
      kept = undefined
      return value
    }
    const theta = 2 * Math.PI * uniformDouble(words)
    const radius = Math.sqrt(-2 * Math.log1p(-uniformDouble(words)))
    kept = radius * Math.sin(theta)
    return radius * Math.cos(theta)
  }
}

/** 24 random bits in [0, 1). */
function uniformFloat(words: WordSource): number {
  return (words.next() & 0xff_ffff) / 2 ** 24
}

/** 53 random bits in [0, 1), the first word highest. */
function uniformDouble(words: WordSource): number {
  const high = words.next() & 0x1f_ffff
  return (high * 2 ** 32 + words.next()) / 2 ** 53
}
