import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sha256OfFile } from './file-hash.js'
import { widenInto } from './half.js'
import { writeSafetensors, type TensorSource } from './safetensors-writer.js'
import { float32Values, openSafetensors, type SafetensorsFile } from './safetensors.js'
import { isUsableAsFloat32, openAsFloat32 } from './widened-cache.js'

const halfUnet = join(
  import.meta.dirname,
  '../../../fixtures/goldens/sd21/model/unet/diffusion_pytorch_model.fp16.safetensors',
)
const fullUnet = halfUnet.replace('.fp16', '')

let directory = ''
let cacheDirectory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'swiftd-widened-'))
  cacheDirectory = join(directory, 'cache')
})
afterEach(() => rmSync(directory, { recursive: true }))

const copies = () => readdirSync(join(cacheDirectory, 'float32'))
const copyPath = (name: string) => join(cacheDirectory, 'float32', name)
/** Makes a file old enough to be removed, or to be remembered by its time. */
const age = (path: string, seconds: number) =>
  utimesSync(path, Date.now() / 1000 - seconds, Date.now() / 1000 - seconds)

function source(name: string, dtype: TensorSource['dtype'], bytes: Uint8Array, shape: number[]): TensorSource {
  return { name, dtype, shape, chunks: () => [bytes] }
}

/** A float16 file of `count` values that all have the bits `half`. */
async function writeHalves(name: string, half: number, count = 1000): Promise<string> {
  const path = join(directory, name)
  await writeSafetensors(path, [source('w', 'F16', new Uint8Array(new Uint16Array(count).fill(half).buffer), [count])])
  return path
}

function valuesOf(file: SafetensorsFile, name: string): number[] {
  return [...float32Values(file, file.tensors.get(name)!)]
}

/** Opens `path` in another process and prints which inode it mapped. */
function openElsewhere(path: string, wrapper: string[] = []): Promise<{ code: number | null; output: string }> {
  const script = `
    import { statSync, readdirSync } from 'node:fs'
    import { openAsFloat32 } from ${JSON.stringify(join(import.meta.dirname, 'widened-cache.ts'))}
    const [path, cacheDirectory] = process.argv.slice(1)
    try {
      const file = await openAsFloat32(path, { cacheDirectory })
      const copy = readdirSync(cacheDirectory + '/float32').find((name) => name.endsWith('.safetensors'))
      console.log(file.tensors.size, statSync(cacheDirectory + '/float32/' + copy).ino)
    } catch (error) {
      console.log(error.code, error.message)
    }`
  const command = [...wrapper, process.execPath, '--import', 'tsx', '--input-type=module', '-e', script]
  const child = spawn(command[0], [...command.slice(1), path, cacheDirectory], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (text: Buffer) => (output += text.toString()))
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output: output.trim() })))
}

describe('openAsFloat32', () => {
  it('maps a float32 file as it is, without hashing or copying', async () => {
    const file = await openAsFloat32(fullUnet, { cacheDirectory })
    expect(file.path).toBe(fullUnet)
    expect(isUsableAsFloat32(file)).toBe(true)
    expect(existsSync(cacheDirectory)).toBe(false)
    file.close()
  })

  it('gives every tensor of a float16 file its exact values', async () => {
    const stored = openSafetensors(halfUnet)
    const file = await openAsFloat32(halfUnet, { cacheDirectory })
    expect(file.path).toBe(halfUnet)
    expect([...file.tensors.keys()].sort()).toEqual([...stored.tensors.keys()].sort())
    for (const tensor of stored.tensors.values()) {
      const expected = new Float32Array(tensor.byteLength / 2)
      widenInto(expected, stored.bytesOf(tensor).slice(), 'F16')
      const actual = file.tensors.get(tensor.name)!
      expect(actual).toMatchObject({ dtype: 'F32', shape: tensor.shape })
      expect(Buffer.compare(file.bytesOf(actual), new Uint8Array(expected.buffer)), tensor.name).toBe(0)
    }
    file.close()
    stored.close()
  })

  it('converts every float dtype and keeps integers and metadata', async () => {
    const path = join(directory, 'mixed.safetensors')
    const positions = new Uint8Array(BigInt64Array.of(0n, -7n).buffer)
    const tensors = [
      source('half', 'F16', Uint8Array.of(0x00, 0x3c), [1]),
      source('brain', 'BF16', Uint8Array.of(0x80, 0xbf), [1, 1]),
      source('double', 'F64', new Uint8Array(Float64Array.of(0.1).buffer), []),
      source('single', 'F32', new Uint8Array(Float32Array.of(2, 3).buffer), [2]),
      source('positions', 'I64', positions, [2]),
      source('flags', 'U8', Uint8Array.of(1, 2, 3), [3]),
    ]
    await writeSafetensors(path, tensors, { format: 'pt' })
    const file = await openAsFloat32(path, { cacheDirectory })
    expect(file.metadata).toEqual({ format: 'pt' })
    expect(['half', 'brain', 'double', 'single'].map((name) => valuesOf(file, name))).toEqual([
      [1],
      [-1],
      [Math.fround(0.1)],
      [2, 3],
    ])
    expect(file.tensors.get('positions')).toMatchObject({ dtype: 'I64', shape: [2] })
    expect(Buffer.compare(file.bytesOf(file.tensors.get('positions')!), positions)).toBe(0)
    expect(file.tensors.get('double')!.shape).toEqual([])
    file.close()
  })

  it('copies a float32 file whose tensors are not aligned', async () => {
    const header = JSON.stringify({ w: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } }).padEnd(61)
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(61n)
    const path = join(directory, 'odd.safetensors')
    writeFileSync(path, Buffer.concat([length, Buffer.from(header), Buffer.from(Float32Array.of(7).buffer)]))
    const file = await openAsFloat32(path, { cacheDirectory })
    expect(file.addressOf(file.tensors.get('w')!) % 4n).toBe(0n)
    expect(valuesOf(file, 'w')).toEqual([7])
    file.close()
  })

  it('converts tensors of more than one piece', async () => {
    const count = 2 ** 20 + 5
    const halves = Uint16Array.from({ length: count }, (_, i) => i % 0x7c00)
    const path = join(directory, 'large.safetensors')
    await writeSafetensors(path, [source('w', 'F16', new Uint8Array(halves.buffer), [count])])
    const file = await openAsFloat32(path, { cacheDirectory })
    const expected = new Float32Array(count)
    widenInto(expected, new Uint8Array(halves.buffer), 'F16')
    expect(Buffer.compare(file.bytesOf(file.tensors.get('w')!), new Uint8Array(expected.buffer))).toBe(0)
    file.close()
  })

  it('makes one copy for equal content, under the name of its hash', async () => {
    const path = await writeHalves('a.safetensors', 0x3c00)
    cpSync(path, join(directory, 'b.safetensors'))
    const [first, second] = await Promise.all(
      ['a.safetensors', 'b.safetensors'].map((name) => openAsFloat32(join(directory, name), { cacheDirectory })),
    )
    expect(copies()).toEqual([`${createHash('sha256').update(readFileSync(path)).digest('hex')}.safetensors`])
    const { ino } = statSync(copyPath(copies()[0]))
    const third = await openAsFloat32(path, { cacheDirectory })
    expect(statSync(copyPath(copies()[0])).ino).toBe(ino)
    for (const file of [first, second, third]) file.close()
  })

  it('makes a new copy when the file has new content', async () => {
    const path = await writeHalves('a.safetensors', 0x3c00)
    ;(await openAsFloat32(path, { cacheDirectory })).close()
    await writeHalves('a.safetensors', 0x4000)
    const file = await openAsFloat32(path, { cacheDirectory })
    expect(valuesOf(file, 'w')[0]).toBe(2)
    expect(copies()).toHaveLength(2)
    file.close()
  })

  it('leaves the event loop free meanwhile', async () => {
    const path = await writeHalves('a.safetensors', 0x3c00, 2 ** 23)
    let turns = 0
    let done = false
    const opening = openAsFloat32(path, { cacheDirectory }).finally(() => (done = true))
    while (!done) {
      await setImmediate()
      turns++
    }
    expect(turns).toBeGreaterThan(8)
    ;(await opening).close()
  })

  it('gives two processes at once the same copy', async () => {
    const path = await writeHalves('a.safetensors', 0x3c00, 2 ** 22)
    const results = await Promise.all([openElsewhere(path), openElsewhere(path)])
    const { ino } = statSync(copyPath(copies()[0]))
    expect(results).toEqual([
      { code: 0, output: `1 ${ino}` },
      { code: 0, output: `1 ${ino}` },
    ])
    expect(copies()).toHaveLength(1)
  })

  it('removes the copies that were not used for longest to stay within its limit', async () => {
    const options = { cacheDirectory, maxBytes: 10_000 }
    const paths = await Promise.all([0x3c00, 0x4000, 0x4200].map((half) => writeHalves(`${half}.safetensors`, half)))
    const first = await openAsFloat32(paths[0], options)
    const [firstCopy] = copies()
    ;(await openAsFloat32(paths[1], options)).close()
    const secondCopy = copies().find((name) => name !== firstCopy)!
    age(copyPath(firstCopy), 60)
    age(copyPath(secondCopy), 120)
    ;(await openAsFloat32(paths[2], options)).close()
    expect(copies()).toContain(firstCopy)
    expect(copies()).not.toContain(secondCopy)
    age(copyPath(firstCopy), 60)
    ;(await openAsFloat32(paths[1], options)).close()
    expect(copies()).not.toContain(firstCopy)
    // What was mapped before stays valid without its name.
    expect(valuesOf(first, 'w')[999]).toBe(1)
    first.close()
  })

  it('keeps copies that were just used, and makes one that is larger than the limit', async () => {
    const options = { cacheDirectory, maxBytes: 1 }
    for (const half of [0x3c00, 0x4000]) {
      const file = await openAsFloat32(await writeHalves('a.safetensors', half), options)
      expect(valuesOf(file, 'w')).toHaveLength(1000)
      file.close()
    }
    expect(copies()).toHaveLength(2)
  })

  it('makes a damaged copy anew', async () => {
    const path = await writeHalves('a.safetensors', 0x3c00)
    ;(await openAsFloat32(path, { cacheDirectory })).close()
    truncateSync(copyPath(copies()[0]), 100)
    const file = await openAsFloat32(path, { cacheDirectory })
    expect(valuesOf(file, 'w')[999]).toBe(1)
    file.close()
  })

  it('takes over from a process that died, and removes what it left', async () => {
    const path = await writeHalves('a.safetensors', 0x3c00)
    const hash = createHash('sha256').update(readFileSync(path)).digest('hex')
    ;(await openAsFloat32(await writeHalves('b.safetensors', 0x4000), { cacheDirectory })).close()
    const host = hostname().replaceAll(/[^A-Za-z0-9-]/g, '-')
    // No process has the number 2^30: Linux and macOS stop before.
    const left = [
      `${hash}.safetensors.${host}.${2 ** 30}.0123456789ab.tmp`,
      `other.safetensors.${host}.${2 ** 30}.00.tmp`,
    ]
    for (const name of left) writeFileSync(copyPath(name), 'half a copy')
    const living = `other.safetensors.${host}.${process.pid}.00.tmp`
    writeFileSync(copyPath(living), 'being written')
    ;(await openAsFloat32(path, { cacheDirectory })).close()
    expect(copies().filter((name) => name.endsWith('.tmp'))).toEqual([living])
  })

  it('explains a cache directory that cannot be written', async () => {
    const path = await writeHalves('a.safetensors', 0x3c00)
    writeFileSync(cacheDirectory, 'a file where the directory should be')
    await expect(openAsFloat32(path, { cacheDirectory })).rejects.toMatchObject({
      code: 'OUTPUT_NOT_WRITABLE',
      message: expect.stringMatching(
        /^Cannot keep the float32 copy of .*a\.safetensors \(1 MiB\) in .*Free some space/,
      ) as string,
    })
  })

  it('leaves no partial copy when the disk is full', async () => {
    const path = await writeHalves('a.safetensors', 0x3c00, 2 ** 22)
    // A limit on file sizes stops the write half way, as a full disk does.
    const { output } = await openElsewhere(path, ['sh', '-c', 'ulimit -f 4096; exec "$@"', 'sh'])
    expect(output).toMatch(/^OUTPUT_NOT_WRITABLE Cannot keep the float32 copy of .* \(17 MiB\) in .*EFBIG/)
    expect(copies()).toEqual([])
  })

  it('refuses what is not a safetensors file', async () => {
    const path = join(directory, 'x.safetensors')
    writeFileSync(path, 'not weights')
    await expect(openAsFloat32(path, { cacheDirectory })).rejects.toMatchObject({ code: 'INVALID_WEIGHTS' })
    await expect(openAsFloat32(`${path}.nowhere`, { cacheDirectory })).rejects.toMatchObject({
      code: 'INVALID_WEIGHTS',
    })
  })
})

describe('sha256OfFile', () => {
  const known = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'

  it('gives the published hash of a file', async () => {
    const path = join(directory, 'abc')
    writeFileSync(path, 'abc')
    expect(await sha256OfFile(path, cacheDirectory)).toBe(known)
  })

  it('reads an unchanged file once, and a changed one again', async () => {
    const path = join(directory, 'abc')
    writeFileSync(path, 'abc')
    age(path, 60)
    await sha256OfFile(path, cacheDirectory)
    const [remembered] = readdirSync(join(cacheDirectory, 'hashes'))
    // What is remembered is believed: the only way to see that the file is not read again.
    writeFileSync(join(cacheDirectory, 'hashes', remembered), 'f'.repeat(64))
    expect(await sha256OfFile(path, cacheDirectory)).toBe('f'.repeat(64))
    age(path, 30)
    expect(await sha256OfFile(path, cacheDirectory)).toBe(known)
  })

  it('remembers nothing of a file that was changed just now', async () => {
    const path = join(directory, 'abc')
    writeFileSync(path, 'abc')
    await sha256OfFile(path, cacheDirectory)
    expect(existsSync(join(cacheDirectory, 'hashes'))).toBe(false)
  })

  it('ignores a damaged memory and one that cannot be written', async () => {
    const path = join(directory, 'abc')
    writeFileSync(path, 'abc')
    age(path, 60)
    await sha256OfFile(path, cacheDirectory)
    const [remembered] = readdirSync(join(cacheDirectory, 'hashes'))
    writeFileSync(join(cacheDirectory, 'hashes', remembered), '')
    expect(await sha256OfFile(path, cacheDirectory)).toBe(known)
    expect(await sha256OfFile(path, path)).toBe(known)
  })

  it('explains a file that cannot be read', async () => {
    const path = join(directory, 'nowhere')
    await expect(sha256OfFile(path, cacheDirectory)).rejects.toMatchObject({ code: 'INVALID_WEIGHTS' })
    await expect(sha256OfFile(directory, cacheDirectory)).rejects.toMatchObject({ code: 'INVALID_WEIGHTS' })
  })
})
