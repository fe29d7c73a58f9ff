import type { TensorSource } from '../src/engine/weights/safetensors-writer.js'

export type RandomDtype = 'F32' | 'F16'

/** Gives the values of any parameter. */
export interface RandomValues {
  source(name: string, shape: readonly number[]): TensorSource
}

/** Normal values that are drawn at all: one MiB in float32. Larger tensors repeat them. */
const BLOCK_ELEMENTS = 2 ** 18

/**
 * Random weights at the speed of the disk: one block of normal values, scaled for each width of layer and written again and
 * again from changing positions, so that no two rows or tensors are alike.
 *
 * Scales keep activations finite: 1 / sqrt(fan-in) for layers, 1 for norms, 0 for biases, 0.02 for embeddings. A LoRA's
 * up matrix is a tenth of that, so that it changes an image without drowning it.
 */
export function createRandomValues(dtype: RandomDtype, seed: number): RandomValues {
  const next = createXorshift(seed)
  const normal = drawNormal(next)
  const scaled = new Map<number, Uint8Array>()

  function block(scale: number): Uint8Array {
    const bytes =
      scaled.get(scale) ??
      encode(
        dtype,
        normal.map((value) => value * scale),
      )
    scaled.set(scale, bytes)
    return bytes
  }

  function* repeat(scale: number, byteLength: number): Generator<Uint8Array> {
    const bytes = block(scale)
    const elementBytes = bytes.length / BLOCK_ELEMENTS
    for (let rest = byteLength; rest > 0;) {
      const begin = Math.floor((next() / 2 ** 32) * BLOCK_ELEMENTS) * elementBytes
      const piece = bytes.subarray(begin, begin + rest)
      yield piece
      rest -= piece.length
    }
  }

  return {
    source(name, shape) {
      const count = shape.reduce((product, dim) => product * dim, 1)
      const elementBytes = dtype === 'F32' ? 4 : 2
      const constant = constantOf(name, shape)
      const chunks = (): Iterable<Uint8Array> =>
        constant === undefined
          ? repeat(scaleOf(name, shape), count * elementBytes)
          : [encode(dtype, new Float32Array(count).fill(constant))]
      return { name, dtype, shape, chunks }
    },
  }
}

function constantOf(name: string, shape: readonly number[]): number | undefined {
  if (name.endsWith('.bias')) return 0
  return shape.length === 1 ? 1 : undefined
}

function scaleOf(name: string, shape: readonly number[]): number {
  if (name.endsWith('_embedding.weight')) return 0.02
  const fanIn = shape.slice(1).reduce((product, dim) => product * dim, 1)
  return (name.includes('lora_B') ? 0.1 : 1) / Math.sqrt(fanIn)
}

function encode(dtype: RandomDtype, values: Float32Array): Uint8Array {
  return new Uint8Array(dtype === 'F32' ? values.buffer : Uint16Array.from(values, toHalf).buffer)
}

/** The bits of the nearest float16; ties away from zero, which random values do not mind. */
export function toHalf(value: number): number {
  const magnitude = Math.abs(value)
  const sign = value < 0 ? 0x8000 : 0
  if (magnitude < 2 ** -14) return sign | Math.round(magnitude * 2 ** 24)
  if (magnitude >= 65_520) return sign | 0x7c00
  const exponent = Math.floor(Math.log2(magnitude))
  // A fraction that rounds up to 1024 carries into the exponent, as it should.
  return sign + ((exponent + 15) << 10) + Math.round((magnitude / 2 ** exponent - 1) * 1024)
}

/** Box-Muller. */
function drawNormal(next: () => number): Float32Array {
  const values = new Float32Array(BLOCK_ELEMENTS)
  for (let i = 0; i < BLOCK_ELEMENTS; i += 2) {
    const radius = Math.sqrt(-2 * Math.log((next() + 1) / 2 ** 32))
    const angle = (2 * Math.PI * next()) / 2 ** 32
    values[i] = radius * Math.cos(angle)
    values[i + 1] = radius * Math.sin(angle)
  }
  return values
}

/** Marsaglia's xorshift with 32 bits; values 0 to 2^32 - 1. */
function createXorshift(seed: number): () => number {
  let state = Math.imul(seed + 1, 0x9e37_79b1) || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}
