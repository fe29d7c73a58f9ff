import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SwiftdError } from '../errors.js'
import { writeSafetensors } from './safetensors-writer.js'
import { float32Values, openSafetensors, type StoredDtype } from './safetensors.js'

let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'swiftd-safetensors-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

/** Writes a file with this header and this many bytes of data, and gives its path. */
function fileOf(header: unknown, dataBytes = 0): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return rawFile(Buffer.concat([length, json, Buffer.alloc(dataBytes)]))
}

function rawFile(bytes: Uint8Array): string {
  const path = join(directory, 'file.safetensors')
  writeFileSync(path, bytes)
  return path
}

const tensor = (begin: number, end: number, shape: unknown = [(end - begin) / 4], dtype: unknown = 'F32') => ({
  dtype,
  shape,
  data_offsets: [begin, end],
})

function refusal(path: string): SwiftdError {
  try {
    openSafetensors(path).close()
  } catch (error) {
    if (error instanceof SwiftdError) return error
    throw error
  }
  throw new Error(`${path} was accepted`)
}

describe('openSafetensors', () => {
  it('maps tensors with their shapes, values and metadata', () => {
    const path = fileOf({ __metadata__: { format: 'pt', rank: 4 }, b: tensor(0, 8, [2, 1]), a: tensor(8, 12) }, 12)
    const file = openSafetensors(path)
    expect(file.metadata).toEqual({ format: 'pt' })
    expect([...file.tensors.keys()]).toEqual(['b', 'a'])
    expect(file.tensors.get('b')).toMatchObject({ dtype: 'F32', shape: [2, 1], byteLength: 8 })
    expect(float32Values(file, file.tensors.get('b')!)).toEqual(new Float32Array(2))
    file.close()
  })

  it('accepts no tensors, scalars, and empty tensors of any shape', () => {
    const file = openSafetensors(fileOf({ empty: tensor(0, 0, [2 ** 50, 2 ** 50, 0]), scalar: tensor(0, 4, []) }, 4))
    expect(file.bytesOf(file.tensors.get('empty')!)).toHaveLength(0)
    file.close()
    expect(openSafetensors(fileOf({})).tensors.size).toBe(0)
  })

  it('reads a file of more than 4 GiB', () => {
    const gibibyte = 2 ** 30
    const path = fileOf({
      a: tensor(0, 3 * gibibyte),
      b: tensor(3 * gibibyte, 6 * gibibyte),
      c: tensor(6 * gibibyte, 6 * gibibyte + 8),
    })
    // A sparse file: its data takes no space.
    truncateSync(path, statSync(path).size + 6 * gibibyte + 8)
    const file = openSafetensors(path)
    expect(float32Values(file, file.tensors.get('c')!)).toEqual(new Float32Array(2))
    expect(file.bytesOf(file.tensors.get('b')!)[3 * gibibyte - 1]).toBe(0)
    file.close()
  })

  it('gives float32 values of a tensor that the file does not align', () => {
    const values = Float32Array.of(1.5, -2)
    const header = JSON.stringify({ a: tensor(0, 8) }).padEnd(61)
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(61n)
    const path = rawFile(Buffer.concat([length, Buffer.from(header), Buffer.from(values.buffer)]))
    const file = openSafetensors(path)
    expect(file.addressOf(file.tensors.get('a')!) % 4n).toBe(1n)
    expect(float32Values(file, file.tensors.get('a')!)).toEqual(values)
    file.close()
  })

  it('reads a file anew when its header or its size has changed', () => {
    const path = fileOf({ a: tensor(0, 4) }, 4)
    openSafetensors(path).close()
    writeFileSync(path, readFileSync(fileOf({ b: tensor(0, 4) }, 4)))
    const changed = openSafetensors(path)
    expect([...changed.tensors.keys()]).toEqual(['b'])
    changed.close()
    truncateSync(path, statSync(path).size - 1)
    expect(() => openSafetensors(path)).toThrow('the file is truncated')
  })

  it('gives no bytes of a closed file', () => {
    const file = openSafetensors(fileOf({ a: tensor(0, 4) }, 4))
    file.close()
    expect(() => file.bytesOf(file.tensors.get('a')!)).toThrow('no longer mapped')
  })

  it.each([
    ['is cut off in its data', () => fileOf({ a: tensor(0, 8) }, 4), 'ends at byte 8 of 4; the file is truncated'],
    ['is cut off in its header', () => rawFile(Buffer.from([200, 0, 0, 0, 0, 0, 0, 0, 0x7b])), 'has only 9'],
    ['is cut off in its header’s length', () => rawFile(Buffer.from([1, 2, 3])), 'has 3 bytes, too few'],
    ['has a huge header', () => rawFile(Buffer.alloc(64, 0xff)), 'more than the allowed 100000000'],
    ['is not JSON', () => fileOf('not json'), 'its header is not JSON'],
    ['is not UTF-8', () => rawFile(Buffer.from([4, 0, 0, 0, 0, 0, 0, 0, 0x22, 0xff, 0xfe, 0x22])), 'not JSON'],
    ['has a list for a header', () => fileOf('[1]'), 'its header is not a JSON object'],
    ['is nested without end', () => fileOf('['.repeat(100_000)), 'its header is not JSON'],
    ['lies about a size', () => fileOf({ a: tensor(0, 8, [3]) }, 8), 'of shape [3] needs 12 bytes but has 8'],
    ['has an impossible product', () => fileOf({ a: tensor(0, 8, [2 ** 52, 2 ** 52]) }, 8), 'impossible shape'],
    ['overlaps', () => fileOf({ a: tensor(0, 8), b: tensor(4, 12) }, 12), '"b" begins at byte 4 where byte 8'],
    ['has a gap', () => fileOf({ a: tensor(0, 4), b: tensor(8, 12) }, 12), '"b" begins at byte 8 where byte 4'],
    ['has data that no tensor has', () => fileOf({ a: tensor(0, 4) }, 8), 'end at byte 4, but its data has 8'],
    ['has an unknown dtype', () => fileOf({ a: tensor(0, 4, [1], 'F31') }, 4), 'the unknown dtype "F31"'],
    ['has the dtype "toString"', () => fileOf({ a: tensor(0, 4, [1], 'toString') }, 4), 'unknown dtype'],
    ['has no dtype', () => fileOf({ a: { shape: [], data_offsets: [0, 4] } }, 4), 'the unknown dtype nothing'],
    ['has a negative shape', () => fileOf({ a: tensor(0, 4, [-1]) }, 4), 'the impossible shape [-1]'],
    ['has a fractional shape', () => fileOf({ a: tensor(0, 4, [0.5]) }, 4), 'the impossible shape [0.5]'],
    ['has reversed offsets', () => fileOf({ a: tensor(4, 0, []) }, 4), 'the impossible offsets [4,0]'],
    ['has a text for a tensor', () => fileOf({ a: 'b' }), 'the entry of tensor "a" is not an object'],
    ['is empty', () => rawFile(Buffer.alloc(0)), 'it is empty'],
    ['is a directory', () => directory, 'it is a directory'],
    ['is a device', () => '/dev/null', 'it is not a regular file'],
    ['is missing', () => join(directory, 'nowhere/x.safetensors'), 'it does not exist'],
  ])('refuses a file that %s', (_, make, sentence) => {
    const error = refusal(make())
    expect(error).toMatchObject({ code: 'INVALID_WEIGHTS', message: expect.stringContaining(sentence) as string })
    expect(error.message.length).toBeLessThan(500)
  })

  it('quotes no more of a hostile file than a person can read', () => {
    const name = 'x'.repeat(1_000_000)
    const shape = Array<number>(100_000).fill(1)
    expect(refusal(fileOf({ [name]: tensor(0, 8, shape) }, 8)).message.length).toBeLessThan(600)
  })

  it('opens or refuses any header, and never crashes', () => {
    const count = fc.oneof(fc.nat(20), fc.integer(), fc.double(), fc.constantFrom(2 ** 53, -1, 'x', null))
    const entry = fc.oneof(
      fc.record({
        dtype: fc.constantFrom('F32', 'F16', 'U8', 'I64', 'X'),
        shape: fc.array(count, { maxLength: 4 }),
        data_offsets: fc.array(count, { maxLength: 3 }),
      }),
      fc.jsonValue(),
    )
    const header = fc.oneof(fc.dictionary(fc.string(), entry), fc.jsonValue(), fc.string())
    fc.assert(
      fc.property(header, fc.nat(64), (value, dataBytes) => {
        const path = fileOf(value, dataBytes)
        try {
          const file = openSafetensors(path)
          for (const tensor of file.tensors.values()) expect(file.bytesOf(tensor)).toHaveLength(tensor.byteLength)
          file.close()
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_WEIGHTS' })
        }
      }),
    )
  })

  it('opens or refuses any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(refusal(rawFile(bytes)).code).toBe('INVALID_WEIGHTS')
      }),
    )
  })
})

describe('writeSafetensors', () => {
  const dtypes = fc.constantFrom<StoredDtype>('F64', 'I64', 'F32', 'I32', 'F16', 'BF16', 'U8', 'BOOL')
  const tensors = fc.uniqueArray(
    fc.record({
      name: fc.oneof(fc.string(), fc.constantFrom('__proto__', '10', '2')).filter((name) => name !== '__metadata__'),
      dtype: dtypes,
      shape: fc.array(fc.nat(4), { maxLength: 3 }),
    }),
    { selector: ({ name }) => name, maxLength: 6 },
  )
  const elementBytes = { F64: 8, I64: 8, F32: 4, I32: 4, F16: 2, BF16: 2, U8: 1, BOOL: 1 } as Record<string, number>

  it('writes files that are read back, with every tensor aligned', async () => {
    const path = join(directory, 'written.safetensors')
    await fc.assert(
      fc.asyncProperty(tensors, fc.dictionary(fc.string(), fc.string()), async (specs, metadata) => {
        const contents = specs.map(({ dtype, shape }, index) => {
          const size = shape.reduce((product, dim) => product * dim, elementBytes[dtype])
          return Uint8Array.from({ length: size }, (_, i) => (i * 7 + index) % 256)
        })
        const sources = specs.map((spec, index) => ({
          ...spec,
          chunks: () => [contents[index].subarray(0, 3), contents[index].subarray(3)],
        }))
        await writeSafetensors(path, sources, metadata)
        const file = openSafetensors(path)
        expect(file.metadata).toEqual({ ...metadata })
        expect(file.tensors.size).toBe(specs.length)
        specs.forEach(({ name, dtype, shape }, index) => {
          const stored = file.tensors.get(name)!
          expect(stored).toMatchObject({ dtype, shape })
          expect(file.addressOf(stored) % BigInt(elementBytes[dtype])).toBe(0n)
          expect(Buffer.compare(file.bytesOf(stored), contents[index])).toBe(0)
        })
        file.close()
      }),
      { numRuns: 30 },
    )
  })

  it('leaves nothing behind when a tensor gives too few bytes', async () => {
    const folder = join(directory, 'empty')
    mkdirSync(folder)
    const source = { name: 'a', dtype: 'F32' as const, shape: [2], chunks: () => [new Uint8Array(4)] }
    const writing = writeSafetensors(join(folder, 'x.safetensors'), [source])
    await expect(writing).rejects.toThrow('tensor a gave 4 bytes instead of 8')
    expect(readdirSync(folder)).toEqual([])
  })
})
