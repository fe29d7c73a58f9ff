/** Rounding to float16: 1 sign, 5 exponent (bias 15) and 10 fraction bits. */

/** The float16 bits nearest to each value, ties to even; what is beyond its range becomes infinite, as on devices. */
export function toHalves(values: ArrayLike<number>): Uint16Array {
  const floats = Float32Array.from(values)
  return Uint16Array.from(new Uint32Array(floats.buffer), halfOf)
}

/** The float16 bits for float32 bits. */
function halfOf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const exponent = ((bits >>> 23) & 0xff) - 127 + 15
  const fraction = bits & 0x7f_ffff
  if (exponent > 30) {
    const isNaN = exponent === 143 && fraction !== 0
    return sign | 0x7c00 | (isNaN ? 0x200 : 0)
  }
  if (exponent > 0) return sign | shifted((exponent << 23) | fraction, 13)
  return exponent < -10 ? sign : sign | shifted(0x80_0000 | fraction, 14 - exponent)
}

/** value / 2^shift to the nearest integer, ties to even. A carry out of the fraction raises the exponent, as it should. */
function shifted(value: number, shift: number): number {
  const floor = value >>> shift
  const rest = value & ((1 << shift) - 1)
  const tie = 1 << (shift - 1)
  return rest > tie || (rest === tie && floor % 2 === 1) ? floor + 1 : floor
}
