/** The three text chunks of PNG (ISO/IEC 15948, section 11.3.4): tEXt, zTXt and iTXt. */
import { crc32, inflateSync } from 'node:zlib'

/** More text than any generator writes (ComfyUI workflows reach hundreds of KiB); stops decompression bombs. */
const MAX_TEXT_BYTES = 16 * 2 ** 20

export interface TextChunk {
  readonly keyword: string
  readonly text: string
}

/** Encodes a text chunk with its length and CRC. NUL, which no text chunk may contain, becomes U+FFFD. */
export function encodeTextChunk(keyword: string, text: string): Buffer {
  // The keyword's form is what the standard demands; keywords are the program's own, so a wrong one is a bug.
  if (!/^[\x21-\x7e\xa1-\xff]+( [\x21-\x7e\xa1-\xff]+)*$/.test(keyword) || keyword.length > 79) {
    throw new TypeError(`"${keyword}" cannot be the keyword of a PNG text chunk`)
  }
  const clean = text.replaceAll('\0', '\ufffd')
  const latin1 = Buffer.from(clean, 'latin1')
  if (latin1.toString('latin1') === clean)
    return chunk('tEXt', Buffer.concat([Buffer.from(`${keyword}\0`, 'latin1'), latin1]))
  // Flags: not compressed, no language, no translated keyword.
  return chunk('iTXt', Buffer.concat([Buffer.from(`${keyword}\0\0\0\0\0`, 'latin1'), Buffer.from(clean, 'utf8')]))
}

/** Decodes the data of a text chunk. Chunks of other types give undefined. */
export function readTextChunk(type: string, data: Buffer): TextChunk | 'damaged' | undefined {
  if (type !== 'tEXt' && type !== 'zTXt' && type !== 'iTXt') return undefined
  const keywordEnd = data.indexOf(0)
  if (keywordEnd < 1) return 'damaged'
  const keyword = data.toString('latin1', 0, keywordEnd)
  const rest = data.subarray(keywordEnd + 1)
  if (type === 'tEXt') return { keyword, text: rest.toString('latin1') }
  if (type === 'zTXt') {
    const text = rest[0] === 0 ? inflate(rest.subarray(1)) : undefined
    return text ? { keyword, text: text.toString('latin1') } : 'damaged'
  }
  return readInternational(keyword, rest)
}

function readInternational(keyword: string, rest: Buffer): TextChunk | 'damaged' {
  const languageEnd = rest.indexOf(0, 2)
  const translatedEnd = languageEnd < 0 ? -1 : rest.indexOf(0, languageEnd + 1)
  if (translatedEnd < 0) return 'damaged'
  const [compressed, method] = rest
  const body = rest.subarray(translatedEnd + 1)
  const text = compressed === 0 ? body : method === 0 ? inflate(body) : undefined
  return text ? { keyword, text: text.toString('utf8') } : 'damaged'
}

function inflate(bytes: Buffer): Buffer | undefined {
  try {
    return inflateSync(bytes, { maxOutputLength: MAX_TEXT_BYTES })
  } catch {
    return undefined
  }
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const framed = Buffer.alloc(body.length + 8)
  framed.writeUInt32BE(data.length, 0)
  body.copy(framed, 4)
  framed.writeUInt32BE(crc32(body), framed.length - 4)
  return framed
}
