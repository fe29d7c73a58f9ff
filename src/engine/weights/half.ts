/** Widening of stored floating-point formats to float32, exact to the bit wherever float32 can hold the value. */
import type { SafetensorsFile, StoredDtype, StoredTensor } from './safetensors.js'

/** The dtypes that `widenInto` reads. */
export type FloatDtype = Extract<StoredDtype, 'F8_E4M3' | 'F8_E5M2' | 'F16' | 'BF16' | 'F32' | 'F64'>

export function isFloat(dtype: StoredDtype): dtype is FloatDtype {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16' || dtype === 'F64' || dtype.startsWith('F8_')
}

/**
 * Converts stored values to float32. F64 is rounded to nearest, the others lose nothing (NaN payloads included).
 * @param bytes little-endian values, aligned to their size
 * @param out receives one float for each
 */
export function widenInto(out: Float32Array, bytes: Uint8Array, dtype: FloatDtype): void {
  const { buffer, byteOffset, byteLength } = bytes
  const bits = new Uint32Array(out.buffer, out.byteOffset, out.length)
  switch (dtype) {
    case 'F16':
      return lookUp(bits, new Uint16Array(buffer, byteOffset, byteLength / 2), halfTable())
    case 'BF16':
      return shift(bits, new Uint16Array(buffer, byteOffset, byteLength / 2))
    case 'F8_E5M2':
      return lookUp(bits, bytes, float8E5M2Table())
    case 'F8_E4M3':
      return lookUp(bits, bytes, float8E4M3Table())
    case 'F32':
      return bits.set(new Uint32Array(buffer, byteOffset, byteLength / 4))
    case 'F64':
      return out.set(new Float64Array(buffer, byteOffset, byteLength / 8))
  }
}

/** A small tensor's values as floats, copied. Not for whole networks: those go through the widened cache. */
export function widenTensor(file: SafetensorsFile, tensor: StoredTensor): Float32Array {
  if (!isFloat(tensor.dtype)) throw new TypeError(`${tensor.name} is ${tensor.dtype}, which holds no floats`)
  // A slice starts at an aligned address, wherever the tensor lies in the file.
  const bytes = file.bytesOf(tensor).slice()
  const out = new Float32Array(tensor.shape.reduce((product, dim) => product * dim, 1))
  widenInto(out, bytes, tensor.dtype)
  return out
}

/** One load per value; the table of F16 takes 256 KiB and stays in the second-level cache. */
function lookUp(bits: Uint32Array, values: Uint16Array | Uint8Array, table: Uint32Array): void {
  for (let i = 0; i < values.length; i++) bits[i] = table[values[i]]
}

/** A bfloat16 is the upper half of a float32. */
function shift(bits: Uint32Array, values: Uint16Array): void {
  for (let i = 0; i < values.length; i++) bits[i] = values[i] << 16
}

const halfTable = once(() => Uint32Array.from({ length: 65_536 }, (_, half) => widenHalf(half)))

/** An E5M2 is the upper half of an F16. */
const float8E5M2Table = once(() => Uint32Array.from({ length: 256 }, (_, value) => widenHalf(value << 8)))

/** E4M3 as PyTorch's float8_e4m3fn has no infinity, and one NaN of each sign: all bits set. */
const float8E4M3Table = once(() =>
  Uint32Array.from({ length: 256 }, (_, value) => {
    if ((value & 0x7f) === 0x7f) return (((value & 0x80) << 24) | 0x7fc0_0000) >>> 0
    const fraction = value & 7
    const exponent = (value >> 3) & 15
    const magnitude = exponent === 0 ? fraction * 2 ** -9 : (8 + fraction) * 2 ** (exponent - 10)
    return floatBits(value & 0x80 ? -magnitude : magnitude)
  }),
)

/** The float32 bits of a float16: 1 sign, 5 exponent (bias 15) and 10 fraction bits. */
function widenHalf(half: number): number {
  const sign = half >>> 15
  const exponent = (half >>> 10) & 31
  const fraction = half & 1023
  if (exponent === 31) return ((sign << 31) | 0x7f80_0000 | (fraction << 13)) >>> 0
  if (exponent > 0) return ((sign << 31) | ((exponent - 15 + 127) << 23) | (fraction << 13)) >>> 0
  const subnormal = fraction * 2 ** -24
  return floatBits(sign ? -subnormal : subnormal)
}

function floatBits(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]
}

function once<T>(make: () => T): () => T {
  let value: T | undefined
  return () => (value ??= make())
}
