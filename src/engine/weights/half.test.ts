import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isFloat, widenInto, type FloatDtype } from './half.js'
import { openSafetensors } from './safetensors.js'

const goldens = join(import.meta.dirname, '../../../fixtures/goldens')

function widen(bytes: Uint8Array, dtype: FloatDtype, count: number): Float32Array {
  const out = new Float32Array(count)
  widenInto(out, bytes, dtype)
  return out
}

function widenHalves(...halves: number[]): Float32Array {
  return widen(new Uint8Array(Uint16Array.from(halves).buffer), 'F16', halves.length)
}

const bitsOf = (values: Float32Array) => new Uint32Array(values.buffer)

/** The definition of IEEE 754, by arithmetic. */
function halfValue(half: number): number {
  const sign = half & 0x8000 ? -1 : 1
  const exponent = (half >> 10) & 31
  const fraction = half & 1023
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25))
}

describe('widenInto', () => {
  it('gives every float16 its value', () => {
    const all = Array.from({ length: 65_536 }, (_, half) => half)
    const widened = widenHalves(...all)
    for (const half of all) if (!Object.is(widened[half], halfValue(half))) expect.fail(`${half}: ${widened[half]}`)
  })

  it.each([
    ['zero', 0x0000, 0x0000_0000],
    ['minus zero', 0x8000, 0x8000_0000],
    ['the smallest subnormal', 0x0001, 0x3380_0000],
    ['the largest subnormal, negative', 0x83ff, 0xb87f_c000],
    ['the smallest normal', 0x0400, 0x3880_0000],
    ['one', 0x3c00, 0x3f80_0000],
    ['the largest', 0x7bff, 0x477f_e000],
    ['infinity', 0x7c00, 0x7f80_0000],
    ['minus infinity', 0xfc00, 0xff80_0000],
    ['a quiet NaN with payload', 0x7e01, 0x7fc0_2000],
    ['a signalling NaN, negative', 0xfc01, 0xff80_2000],
  ])('keeps the bits of %s', (_, half, expected) => {
    expect(bitsOf(widenHalves(half))[0]).toBe(expected)
  })

  it('gives bfloat16 the lower bits zero', () => {
    const values = [0x0000, 0x8000, 0x0001, 0x3f80, 0x7f80, 0xff80, 0x7fc1, 0xff81, 0xffff]
    const bytes = new Uint8Array(Uint16Array.from(values).buffer)
    expect([...bitsOf(widen(bytes, 'BF16', values.length))]).toEqual(values.map((value) => value * 65_536))
  })

  it('rounds float64 to nearest', () => {
    fc.assert(
      fc.property(fc.array(fc.double()), (values) => {
        const bytes = new Uint8Array(Float64Array.from(values).buffer)
        expect([...widen(bytes, 'F64', values.length)]).toEqual(values.map(Math.fround))
      }),
    )
  })

  it('gives float8 its published values', () => {
    const e4m3 = widen(Uint8Array.of(0x00, 0x80, 0x01, 0x07, 0x08, 0x38, 0x7e, 0xfe, 0x7f, 0xff), 'F8_E4M3', 10)
    expect([...e4m3]).toEqual([0, -0, 2 ** -9, 7 * 2 ** -9, 2 ** -6, 1, 448, -448, NaN, NaN])
    const e5m2 = widen(Uint8Array.of(0x00, 0x80, 0x01, 0x03, 0x04, 0x3c, 0x7b, 0x7c, 0xfc, 0x7e), 'F8_E5M2', 10)
    expect([...e5m2]).toEqual([0, -0, 2 ** -16, 3 * 2 ** -16, 2 ** -14, 1, 57344, Infinity, -Infinity, NaN])
  })

  it('keeps the bits of float32', () => {
    const bits = Uint32Array.of(0x7f80_0001, 0x8000_0000, 0x3f80_0000)
    expect(bitsOf(widen(new Uint8Array(bits.buffer), 'F32', 3))).toEqual(bits)
  })

  it('gives the nearest float32 weights of a float16 file', () => {
    const half = openSafetensors(join(goldens, 'sd21/model/vae/diffusion_pytorch_model.fp16.safetensors'))
    const full = openSafetensors(join(goldens, 'sd21/model/vae/diffusion_pytorch_model.safetensors'))
    for (const tensor of half.tensors.values()) {
      const original = full.tensors.get(tensor.name)!
      const expected = new Float32Array(full.bytesOf(original).slice().buffer)
      const actual = widen(half.bytesOf(tensor).slice(), 'F16', expected.length)
      // Half of the last of 11 significant bits, or half of the smallest step.
      const close = actual.every(
        (value, i) => Math.abs(value - expected[i]) <= Math.max(Math.abs(value) * 2 ** -11, 2 ** -25),
      )
      expect(close, tensor.name).toBe(true)
    }
    half.close()
    full.close()
  })
})

describe('isFloat', () => {
  it('tells floats from integers', () => {
    const dtypes = ['F64', 'F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2', 'I64', 'I32', 'U8', 'BOOL'] as const
    expect(dtypes.map(isFloat)).toEqual([true, true, true, true, true, true, false, false, false, false])
  })
})
