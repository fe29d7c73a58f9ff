const STATE_WORDS = 624
const SHIFT_WORDS = 397

/** A generator of 32-bit words. */
export interface WordSource {
  /** The next word, 0..2^32-1. */
  next(): number
}

/**
 * The Mersenne Twister MT19937 (Matsumoto and Nishimura 1998), seeded by one 32-bit word as its authors' `init_genrand`.
 */
export function createMt19937(seed: number): WordSource {
  const state = new Uint32Array(STATE_WORDS)
  state[0] = seed
  for (let i = 1; i < STATE_WORDS; i++) {
    const previous = word(state, i - 1)
    state[i] = Math.imul(1812433253, previous ^ (previous >>> 30)) + i
  }
  let position = STATE_WORDS
  return {
    next() {
      if (position === STATE_WORDS) {
        refill(state)
        position = 0
      }
      return temper(word(state, position++))
    },
  }
}

function refill(state: Uint32Array): void {
  for (let i = 0; i < STATE_WORDS; i++) {
    const joined = (word(state, i) & 0x8000_0000) | (word(state, (i + 1) % STATE_WORDS) & 0x7fff_ffff)
    const twist = joined & 1 ? 0x9908_b0df : 0
    state[i] = word(state, (i + SHIFT_WORDS) % STATE_WORDS) ^ (joined >>> 1) ^ twist
  }
}

function temper(value: number): number {
  let y = value
  y ^= y >>> 11
  y ^= (y << 7) & 0x9d2c_5680
  y ^= (y << 15) & 0xefc6_0000
  y ^= y >>> 18
  return y >>> 0
}

function word(state: Uint32Array, index: number): number {
  return state[index] ?? 0
}
