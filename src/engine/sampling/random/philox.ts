import type { RandomSource } from './random-source.js'

const ROUNDS = 10
const MULTIPLIERS = [0xd251_1f53, 0xcd9e_8d57] as const
const KEY_INCREMENTS = [0x9e37_79b9, 0xbb67_ae85] as const

/** 2^-32 and 2π·2^-32 in float32, as stable-diffusion-webui has them. */
const WORD_TO_UNIT = Math.fround(2.3283064e-10)
const WORD_TO_ANGLE = Math.fround(2.3283064e-10 * 6.2831855)

export type Words4 = [number, number, number, number]
export type Words2 = [number, number]

/**
 * Noise as PyTorch draws it on NVIDIA devices, computed anywhere: the "NV" source of stable-diffusion-webui
 * (modules/rng_philox.py). Value i of the n-th call depends on the seed, n and i alone.
 * @param seed any integer; the lowest 64 bits are used
 */
export function createPhiloxRandom(seed: bigint): RandomSource {
  const bits = BigInt.asUintN(64, seed)
  const key: Words2 = [Number(bits & 0xffff_ffffn), Number(bits >> 32n)]
  let call = 0
  return {
    normal(count) {
      const values = new Float32Array(count)
      for (let i = 0; i < count; i++) values[i] = firstNormal(philox4x32([call, 0, i, 0], key))
      call++
      return values
    },
  }
}

/** Philox4x32-10: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3. Words are 0..2^32-1. */
export function philox4x32(counter: Words4, key: Words2): Words4 {
  let [c0, c1, c2, c3] = counter
  let [k0, k1] = key
  for (let round = 0; round < ROUNDS; round++) {
    const [high0, low0] = multiply(c0, MULTIPLIERS[0])
    const [high1, low1] = multiply(c2, MULTIPLIERS[1])
    c0 = (high1 ^ c1 ^ k0) >>> 0
    c1 = low1
    c2 = (high0 ^ c3 ^ k1) >>> 0
    c3 = low0
    k0 = (k0 + KEY_INCREMENTS[0]) >>> 0
    k1 = (k1 + KEY_INCREMENTS[1]) >>> 0
  }
  return [c0, c1, c2, c3]
}

/** The 64-bit product of two words, as its high and low word: schoolbook on halves, which doubles hold exactly. */
function multiply(a: number, b: number): Words2 {
  const lowHalf = (a & 0xffff) * b
  const highHalf = (a >>> 16) * b + Math.floor(lowHalf / 0x1_0000)
  return [Math.floor(highHalf / 0x1_0000), Math.imul(a, b) >>> 0]
}

/** Box-Muller's sine half; the other half and two of the words are left unused, as PyTorch's kernel does. */
function firstNormal([x, y]: Words4): number {
  const uniform = x * WORD_TO_UNIT + WORD_TO_UNIT / 2
  const angle = y * WORD_TO_ANGLE + WORD_TO_ANGLE / 2
  return Math.sqrt(-2 * Math.log(uniform)) * Math.sin(angle)
}
