import { closeSync, fstatSync, openSync } from 'node:fs'
import { mapShared, unmap, viewMemory, type Pointer } from './libc.js'

/** The largest ArrayBuffer of Node 20. */
export const MAX_VIEW_BYTES = 2 ** 32

/** A whole file mapped for reading. Its pages are the page cache's own: every process that maps it shares them. */
export interface MappedFile {
  readonly address: Pointer
  readonly byteLength: number
  /**
   * Bytes without a copy, at most MAX_VIEW_BYTES. Not to be used after `close`. There is no view of the whole file: an
   * SDXL UNet in float32 has 10 GB, and Node 20 ends the process when an ArrayBuffer is larger than 4 GiB.
   */
  view(offset: number, byteLength: number): Uint8Array
  close(): void
}

/**
 * Maps a file for reading. Nothing is read until a page is touched.
 * The file must not be truncated while it is mapped; replace model files by renaming a new one over them.
 * @throws the system's error (ENOENT, EACCES, …) if the file cannot be opened; Error if it is empty or no regular file
 */
export function mapFile(path: string): MappedFile {
  const fd = openSync(path, 'r')
  try {
    const stats = fstatSync(fd)
    if (!stats.isFile()) throw new Error(`${path} is not a regular file`)
    if (stats.size === 0) throw new Error(`${path} is empty`)
    const address = mapShared(fd, stats.size, 'read')
    let open = true
    return {
      address,
      byteLength: stats.size,
      view(offset, byteLength) {
        if (!open) throw new Error(`${path} is no longer mapped`)
        if (byteLength > MAX_VIEW_BYTES || offset < 0 || offset + byteLength > stats.size) {
          throw new RangeError(`cannot view ${byteLength} bytes at ${offset} of ${path}, which has ${stats.size}`)
        }
        return new Uint8Array(viewMemory(address + BigInt(offset), byteLength))
      },
      close() {
        if (open) unmap(address, stats.size)
        open = false
      },
    }
  } finally {
    closeSync(fd)
  }
}
