import { crc32, deflateSync } from 'node:zlib'
import fc from 'fast-check'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { decodeImage, encodePng, MAX_IMAGE_PIXELS, readPngText } from './png.js'

const image = { width: 5, height: 3, data: Uint8Array.from({ length: 45 }, (_, i) => (i * 37) % 256) }

/** Frames a chunk independently of the product's writer. */
function chunk(type: string, ...data: (string | Uint8Array)[]): Buffer {
  const parts = data.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part))
  const body = Buffer.concat([Buffer.from(type), ...parts])
  const ends = Buffer.alloc(8)
  ends.writeUInt32BE(body.length - 4)
  ends.writeUInt32BE(crc32(body), 4)
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)])
}

async function pngWith(...chunks: Buffer[]): Promise<Buffer> {
  const png = await encodePng(image)
  return Buffer.concat([png.subarray(0, 33), ...chunks, png.subarray(33)])
}

describe('encodePng', () => {
  it('keeps every pixel', async () => {
    expect(await decodeImage(await encodePng(image, { parameters: 'fox' }))).toEqual({
      ...image,
      data: Buffer.from(image.data),
    })
  })

  it('gives equal bytes for equal input', async () => {
    const texts = { parameters: 'a fox', swiftd: '{"ü": "狐"}' }
    expect(await encodePng(image, texts)).toEqual(await encodePng(image, texts))
  })

  it('writes texts right after the header, as tEXt where they are Latin-1', async () => {
    const png = await encodePng(image, { parameters: 'füchse', swiftd: '狐' })
    expect(png.subarray(33, 33 + 12 + 17)).toEqual(chunk('tEXt', 'parameters\0füchse'))
    const second = chunk('iTXt', 'swiftd\0\0\0\0\0', Buffer.from('狐'))
    expect(png.subarray(62, 62 + second.length)).toEqual(second)
  })

  it('writes texts that another reader finds', async () => {
    const { comments } = await sharp(await encodePng(image, { parameters: 'a fox' })).metadata()
    expect(comments).toContainEqual({ keyword: 'parameters', text: 'a fox' })
  })

  it('gives any text back', async () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }), fc.lorem())
    await fc.assert(
      fc.asyncProperty(text, text, async (first, second) => {
        const texts = { parameters: first, 'swiftd job': second }
        const expected = Object.entries(texts).map(([key, value]) => [key, value.replaceAll('\0', '\ufffd')])
        expect(Object.entries(readPngText(await encodePng(image, texts)))).toEqual(expected)
      }),
      { numRuns: 50 },
    )
  })

  it.each(['', ' a', 'a ', 'a  b', '狐', 'x'.repeat(80)])('refuses the keyword "%s"', async (keyword) => {
    await expect(encodePng(image, { [keyword]: 'text' })).rejects.toThrow('cannot be the keyword')
  })
})

describe('readPngText', () => {
  it('reads compressed texts', async () => {
    const png = await pngWith(
      chunk('zTXt', 'Comment\0\0', deflateSync(Buffer.from('füchse', 'latin1'))),
      chunk('iTXt', 'workflow\0\x01\0en\0', Buffer.from('Ablauf\0'), deflateSync(Buffer.from('狐'))),
    )
    expect(readPngText(png)).toEqual({ Comment: 'füchse', workflow: '狐' })
  })

  it('takes the last of several texts with one keyword', async () => {
    expect(readPngText(await pngWith(chunk('tEXt', 'a\0b'), chunk('tEXt', 'a\0c')))).toEqual({ a: 'c' })
  })

  it('keeps a text with the keyword __proto__ as plain data', async () => {
    const texts = readPngText(await pngWith(chunk('tEXt', '__proto__\0b')))
    expect(Object.getOwnPropertyNames(texts)).toEqual(['__proto__'])
  })

  it('refuses a file that is no PNG', async () => {
    const jpeg = await sharp(image.data, { raw: { width: 5, height: 3, channels: 3 } })
      .jpeg()
      .toBuffer()
    const refusal = expect.objectContaining({
      code: 'INVALID_REQUEST',
      message: expect.stringContaining('not a PNG') as string,
    }) as Error
    expect(() => readPngText(jpeg)).toThrow(refusal)
    expect(() => readPngText(new Uint8Array())).toThrow(refusal)
  })

  it('refuses a PNG that ends early, wherever it does', async () => {
    const png = await encodePng(image, { parameters: 'a fox' })
    for (let length = 8; length < png.length; length++) {
      expect(() => readPngText(png.subarray(0, length))).toThrow('The PNG file is damaged')
    }
  })

  it('refuses a PNG in which any one byte after the signature changed', async () => {
    const png = await encodePng(image, { parameters: 'a fox' })
    for (let position = 8; position < png.length; position++) {
      const damaged = Buffer.from(png)
      damaged[position] ^= 0x10
      expect(() => readPngText(damaged)).toThrow('The PNG file is damaged')
    }
  })

  it.each([
    ['a tEXt without a keyword', () => chunk('tEXt', 'no keyword')],
    ['a tEXt with an empty keyword', () => chunk('tEXt', '\0text')],
    ['a zTXt that is not compressed', () => chunk('zTXt', 'a\0\0text')],
    ['a zTXt of an unknown method', () => chunk('zTXt', 'a\0\x01', deflateSync('text'))],
    ['an iTXt that ends in its head', () => chunk('iTXt', 'a\0\0\0en')],
    ['a text that unpacks to gigabytes', () => chunk('zTXt', 'a\0\0', deflateSync(Buffer.alloc(2 ** 25)))],
  ])('refuses %s', async (_, damaged) => {
    const png = await pngWith(damaged())
    expect(() => readPngText(png)).toThrow(/its .{4} chunk at byte 33 is damaged/)
  })
})

describe('decodeImage', () => {
  const raw = { raw: { width: 5, height: 3, channels: 3 } } as const

  it('decodes lossless WebP exactly and JPEG closely', async () => {
    const webp = await sharp(image.data, raw).webp({ lossless: true }).toBuffer()
    expect(Buffer.compare((await decodeImage(webp)).data, image.data)).toBe(0)
    const flat = { width: 16, height: 16, data: new Uint8Array(768).fill(100) }
    const jpeg = await sharp(flat.data, { raw: { width: 16, height: 16, channels: 3 } })
      .jpeg({ quality: 100 })
      .toBuffer()
    const decoded = await decodeImage(jpeg)
    expect(decoded.data.every((value) => Math.abs(value - 100) <= 1)).toBe(true)
  })

  it('drops transparency without blending', async () => {
    const rgba = Uint8Array.of(10, 20, 30, 0, 40, 50, 60, 128)
    const png = await sharp(rgba, { raw: { width: 2, height: 1, channels: 4 } })
      .png()
      .toBuffer()
    expect([...(await decodeImage(png)).data]).toEqual([10, 20, 30, 40, 50, 60])
  })

  it('gives grey and 16-bit pictures three channels of 8 bits', async () => {
    const grey = await sharp(Uint8Array.of(7, 9), { raw: { width: 2, height: 1, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toBuffer()
    expect([...(await decodeImage(grey)).data]).toEqual([7, 7, 7, 9, 9, 9])
    const deep = await sharp(image.data, raw).toColourspace('rgb16').png().toBuffer()
    expect((await sharp(deep).metadata()).depth).toBe('ushort')
    expect(Buffer.compare((await decodeImage(deep)).data, image.data)).toBe(0)
  })

  it('applies the orientation of a camera', async () => {
    const jpeg = await sharp(image.data, raw).withMetadata({ orientation: 6 }).jpeg().toBuffer()
    expect(await decodeImage(jpeg)).toMatchObject({ width: 3, height: 5 })
  })

  it('refuses other formats by name', async () => {
    const gif = await sharp(image.data, raw).gif().toBuffer()
    await expect(decodeImage(gif)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      message: 'The image is gif; give a PNG, JPEG or WebP.',
    })
  })

  it('refuses pictures that are too large without decoding them', async () => {
    const png = await encodePng(image)
    png.writeUInt32BE(10_000, 16)
    png.writeUInt32BE(10_000, 20)
    png.writeUInt32BE(crc32(png.subarray(12, 29)), 29)
    expect(10_000 * 10_000).toBeGreaterThan(MAX_IMAGE_PIXELS)
    await expect(decodeImage(png)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      message: expect.stringContaining('10000x10000; at most 64 megapixels') as string,
    })
  })

  it.each([
    ['nothing', () => Promise.resolve(Buffer.alloc(0))],
    ['text', () => Promise.resolve(Buffer.from('<html>not an image</html>'))],
    ['half a PNG', async () => (await encodePng(image)).subarray(0, 60)],
  ])('refuses %s with one sentence', async (_, bytes) => {
    await expect(decodeImage(await bytes())).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      message: expect.stringMatching(
        /^The image cannot be decoded \(.+\)\. Give an intact PNG, JPEG or WebP\.$/,
      ) as string,
    })
  })
})
