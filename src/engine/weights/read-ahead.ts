import { open } from 'node:fs/promises'

const READ_BYTES = 4 * 2 ** 20

/**
 * Reads a file through, on the system's threads, and forgets it: its pages are in the page cache then, so that no run and
 * no call of this thread waits for a slow disk.
 */
export async function readAhead(path: string): Promise<void> {
  const file = await open(path, 'r').catch(() => undefined)
  if (!file) return
  try {
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    while ((await file.read(buffer, 0, READ_BYTES, null)).bytesRead > 0);
  } finally {
    await file.close()
  }
}
