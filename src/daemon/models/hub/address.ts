import { SwiftdError } from '../../../engine/errors.js'

/** What is pulled: a repository's diffusers folder, or one of its files. */
export interface HubAddress {
  /** `owner/name` */
  readonly repository: string
  /** A branch, a tag or a commit. */
  readonly revision: string
  /** Path of a .safetensors file in the repository. */
  readonly file?: string
}

export const DEFAULT_REVISION = 'main'

const SEGMENT = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/

/**
 * Reads `OWNER/REPO[@REVISION]` or `OWNER/REPO/PATH.safetensors[@REVISION]`.
 * @throws SwiftdError INVALID_REQUEST; UNSUPPORTED_MODEL for files of other kinds
 */
export function parseHubAddress(text: string): HubAddress {
  const [place, ...revisions] = text.split('@')
  const [owner, name, ...path] = place.split('/')
  const revision = revisions.length === 0 ? DEFAULT_REVISION : revisions.join('@')
  const valid =
    [owner, name ?? ''].every((part) => SEGMENT.test(part)) && revision.split('/').every((part) => SEGMENT.test(part))
  if (!valid || !isSafePath(path.join('/'), path.length === 0)) {
    const forms = 'OWNER/REPO, OWNER/REPO@REVISION or OWNER/REPO/FILE.safetensors'
    throw new SwiftdError('INVALID_REQUEST', `"${text}" is not the address of a model; write ${forms}.`)
  }
  const repository = `${owner}/${name}`
  if (path.length === 0) return { repository, revision }
  const file = path.join('/')
  if (!file.endsWith('.safetensors')) {
    const advice = 'name one that ends in .safetensors, or only the repository'
    throw new SwiftdError('UNSUPPORTED_MODEL', `${file} is not a safetensors file; ${advice}.`)
  }
  return { repository, revision, file }
}

/** Whether a path of a repository stays in the folder that it is joined to. */
export function isSafePath(path: string, mayBeEmpty = false): boolean {
  if (path === '') return mayBeEmpty
  return !/[\\\0]/.test(path) && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}
