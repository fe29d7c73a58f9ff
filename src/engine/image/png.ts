import { crc32 } from 'node:zlib'
import sharp from 'sharp'
import { SwiftdError } from '../errors.js'
import type { RgbImage } from './pixels.js'
import { encodeTextChunk, readTextChunk } from './png-text.js'

/** The largest picture that is decoded, in pixels: 8192 x 8192, whose decoded bytes take 192 MiB. */
export const MAX_IMAGE_PIXELS = 2 ** 26

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
const IHDR_END = SIGNATURE.length + 12 + 13

/**
 * Encodes a picture as PNG. Equal input gives equal bytes.
 * @param textChunks texts by keyword (1 to 79 Latin-1 characters), written in their order right after the header: as tEXt
 * where the text is Latin-1, otherwise as iTXt
 */
export async function encodePng(image: RgbImage, textChunks: Readonly<Record<string, string>> = {}): Promise<Buffer> {
  const { width, height } = image
  const png = await sharp(image.data, { raw: { width, height, channels: 3 } })
    // The fastest level with a real gain: level 9 takes several times as long for a few percent.
    .png({ compressionLevel: 6, adaptiveFiltering: true, palette: false })
    .toBuffer()
  const texts = Object.entries(textChunks).map(([keyword, text]) => encodeTextChunk(keyword, text))
  return Buffer.concat([png.subarray(0, IHDR_END), ...texts, png.subarray(IHDR_END)])
}

/**
 * The texts of a PNG by keyword (tEXt, zTXt and iTXt chunks); of several with one keyword the last.
 * @throws SwiftdError INVALID_REQUEST if the bytes are not an intact PNG
 */
export function readPngText(png: Uint8Array): Record<string, string> {
  const bytes = Buffer.from(png.buffer, png.byteOffset, png.byteLength)
  if (!bytes.subarray(0, SIGNATURE.length).equals(SIGNATURE)) {
    throw new SwiftdError('INVALID_REQUEST', 'The image is not a PNG file. Give a PNG that an image generator wrote.')
  }
  const texts: [string, string][] = []
  let position = SIGNATURE.length
  for (;;) {
    const { type, data, end } = readChunk(bytes, position)
    if (position === SIGNATURE.length && type !== 'IHDR') throw corrupt(`it begins with ${type} instead of IHDR`)
    if (type === 'IEND') return Object.fromEntries(texts)
    const text = readTextChunk(type, data)
    if (text === 'damaged') throw corrupt(`its ${type} chunk at byte ${position} is damaged`)
    if (text) texts.push([text.keyword, text.text])
    position = end
  }
}

/**
 * Decodes a PNG, JPEG or WebP to RGB as PIL's `convert("RGB")` does: transparency is dropped, colour profiles are not
 * applied; the orientation that a camera recorded is.
 * @throws SwiftdError INVALID_REQUEST if the bytes are no such picture, damaged, or have over MAX_IMAGE_PIXELS pixels
 */
export async function decodeImage(bytes: Uint8Array): Promise<RgbImage> {
  try {
    const input = sharp(bytes, { limitInputPixels: false, failOn: 'error', ignoreIcc: true })
    const { format, width, height } = await input.metadata()
    if (format !== 'png' && format !== 'jpeg' && format !== 'webp') {
      throw new SwiftdError('INVALID_REQUEST', `The image is ${format}; give a PNG, JPEG or WebP.`)
    }
    if (width * height > MAX_IMAGE_PIXELS) {
      const limit = `at most ${MAX_IMAGE_PIXELS / 2 ** 20} megapixels are accepted`
      throw new SwiftdError('INVALID_REQUEST', `The image is ${width}x${height}; ${limit}. Scale it down.`)
    }
    const { data, info } = await input
      .autoOrient()
      .toColourspace('srgb')
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    return { width: info.width, height: info.height, data }
  } catch (error) {
    if (error instanceof SwiftdError) throw error
    const reason = (error instanceof Error ? error.message : String(error)).split('\n')[0]
    const message = `The image cannot be decoded (${reason}). Give an intact PNG, JPEG or WebP.`
    throw new SwiftdError('INVALID_REQUEST', message, { cause: error })
  }
}

/** One chunk: its length, four letters, its data, and the CRC of letters and data. */
function readChunk(bytes: Buffer, position: number) {
  if (position + 12 > bytes.length) throw corrupt(`it ends at byte ${bytes.length} without an IEND chunk`)
  const length = bytes.readUInt32BE(position)
  const end = position + 12 + length
  const type = bytes.toString('latin1', position + 4, position + 8)
  if (!/^[A-Za-z]{4}$/.test(type)) throw corrupt(`there is no chunk at byte ${position}`)
  if (end > bytes.length) throw corrupt(`its ${type} chunk needs ${length} bytes, but the file ends before`)
  if (crc32(bytes.subarray(position + 4, end - 4)) !== bytes.readUInt32BE(end - 4)) {
    throw corrupt(`the checksum of its ${type} chunk at byte ${position} is wrong`)
  }
  return { type, data: bytes.subarray(position + 8, end - 4), end }
}

function corrupt(what: string): SwiftdError {
  return new SwiftdError('INVALID_REQUEST', `The PNG file is damaged: ${what}. Copy or download it again.`)
}
