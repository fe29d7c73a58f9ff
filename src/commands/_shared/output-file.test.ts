import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkOutput, writeNewFile, writeOutput } from './output-file.js'

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'swiftd-output-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

describe('output target', () => {
  it('is a file, stdout, or a new file in the current directory', () => {
    expect(checkOutput('a.png', directory)).toEqual({ kind: 'file', path: join(directory, 'a.png') })
    expect(checkOutput('-', directory)).toEqual({ kind: 'stdout' })
    expect(checkOutput(undefined, directory)).toEqual({ kind: 'new-file', directory })
  })

  it.each([
    ['no/such/a.png', 'there is no directory'],
    ['file/a.png', 'is not a directory'],
    ['folder', 'it is a directory'],
  ])('is refused before anything is computed: %s', (path, why) => {
    writeFileSync(join(directory, 'file'), '')
    mkdirSync(join(directory, 'folder'))
    expect(() => checkOutput(path, directory)).toThrow(
      expect.objectContaining({ code: 'OUTPUT_NOT_WRITABLE', message: expect.stringContaining(why) as string }),
    )
  })
})

describe('output file', () => {
  it('replaces a file as a whole', async () => {
    const path = join(directory, 'a.png')
    writeFileSync(path, 'old')
    await writeOutput(path, Buffer.from('new'))
    expect(readFileSync(path, 'utf8')).toBe('new')
    expect(readdirSync(directory)).toEqual(['a.png'])
  })

  it('leaves nothing behind when it cannot be written', async () => {
    mkdirSync(join(directory, 'a.png', 'inside'), { recursive: true })
    await expect(writeOutput(join(directory, 'a.png'), Buffer.from('new'))).rejects.toMatchObject({
      code: 'OUTPUT_NOT_WRITABLE',
    })
    expect(readdirSync(directory)).toEqual(['a.png'])
  })

  it('takes the next free name where it must not replace one, also in a race', async () => {
    writeFileSync(join(directory, 'swiftd-7.png'), 'mine')
    const contents = ['a', 'b', 'c'].map((text) => Buffer.from(text))
    const paths = await Promise.all(contents.map((bytes) => writeNewFile(directory, 'swiftd-7', '.png', bytes)))
    expect([...paths].sort()).toEqual([1, 2, 3].map((count) => join(directory, `swiftd-7-${count}.png`)))
    expect(paths.map((path) => readFileSync(path, 'utf8'))).toEqual(['a', 'b', 'c'])
    expect(readFileSync(join(directory, 'swiftd-7.png'), 'utf8')).toBe('mine')
    expect(readdirSync(directory)).toHaveLength(4)
  })
})
