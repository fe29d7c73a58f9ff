import { readFileSync } from 'node:fs'

/**
 * Raised by every change of the HTTP protocol that an older peer would misread. Unknown event types and response fields
 * are ignored, so additions need no new version.
 */
export const PROTOCOL_VERSION = 1

/** Both sides send their protocol version in this header, so that a mismatch is named instead of misread. */
export const PROTOCOL_HEADER = 'x-swiftd-protocol'

/** The version of this package. */
export const SWIFTD_VERSION = readPackageVersion()

function readPackageVersion(): string {
  // The same three levels up from src/ and from dist/.
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'))
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest) return String(manifest.version)
  throw new Error('The package.json of swiftd has no version.')
}
