/**
 * Pulled models lie in the layout of the hub's own cache, so that a shared one is read and filled as other programs do:
 * `models--OWNER--REPO/` has `blobs/` (files by the hash that the hub gives them), `snapshots/COMMIT/` (links to the
 * blobs under the repository's names) and `refs/REVISION` (which commit a branch was at).
 */
import { existsSync, readdirSync, readFileSync, realpathSync, rmdirSync, rmSync } from 'node:fs'
import { mkdir, symlink } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import writeFileAtomic from 'write-file-atomic'
import type { PulledFiles } from '../record.js'
import { isSafePath } from './address.js'

const COMMIT = /^[0-9a-f]{40}$/

export function isCommit(text: string): boolean {
  return COMMIT.test(text)
}

function repositoryDirectory(cacheDirectory: string, repository: string): string {
  return join(cacheDirectory, `models--${repository.replace('/', '--')}`)
}

/** The folder that looks like the repository at a commit. */
export function snapshotDirectory(cacheDirectory: string, repository: string, commit: string): string {
  return join(repositoryDirectory(cacheDirectory, repository), 'snapshots', commit)
}

/** Where the content with a hash lies. */
export function blobPath(cacheDirectory: string, repository: string, hash: string): string {
  return join(repositoryDirectory(cacheDirectory, repository), 'blobs', hash)
}

/** The commit that a revision was at when it was last pulled. */
export function cachedCommit(cacheDirectory: string, repository: string, revision: string): string | undefined {
  if (isCommit(revision)) return revision
  try {
    const commit = readFileSync(join(repositoryDirectory(cacheDirectory, repository), 'refs', revision), 'utf8').trim()
    return isCommit(commit) ? commit : undefined
  } catch {
    return undefined
  }
}

export async function rememberCommit(
  cacheDirectory: string,
  repository: string,
  revision: string,
  commit: string,
): Promise<void> {
  if (isCommit(revision)) return
  const path = join(repositoryDirectory(cacheDirectory, repository), 'refs', revision)
  await mkdir(dirname(path), { recursive: true })
  await writeFileAtomic(path, commit)
}

/** Gives a blob the name that it has in a snapshot. */
export async function linkBlob(blob: string, pointer: string): Promise<void> {
  await mkdir(dirname(pointer), { recursive: true })
  if (existsSync(pointer)) return
  // A link to a blob that is gone.
  rmSync(pointer, { force: true })
  await symlink(relative(dirname(pointer), blob), pointer).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  })
}

/** Deletes pulled files: their links, the blobs that no other snapshot links to, and what is empty then. */
export function removePulled({ cacheDirectory, repository, commit, files }: PulledFiles): void {
  const directory = repositoryDirectory(cacheDirectory, repository)
  const snapshot = snapshotDirectory(cacheDirectory, repository, commit)
  if (!isSafePath(repository) || !existsSync(snapshot)) return
  const blobs = new Set<string>()
  for (const file of files.filter((path) => isSafePath(path))) {
    const pointer = join(snapshot, file)
    if (existsSync(pointer)) blobs.add(realpathSync(pointer))
    rmSync(pointer, { force: true })
  }
  const used = new Set(
    filesUnder(join(directory, 'snapshots'))
      .filter(existsSync)
      .map((path) => realpathSync(path)),
  )
  const home = realpathSync(directory)
  // A pointer may lead anywhere; only blobs of this repository are deleted.
  for (const blob of blobs) if (!used.has(blob) && blob.startsWith(join(home, 'blobs/'))) rmSync(blob, { force: true })
  pruneEmpty(join(directory, 'snapshots'))
  if (!existsSync(snapshot)) forgetCommit(join(directory, 'refs'), commit)
  pruneEmpty(directory)
}

function forgetCommit(refs: string, commit: string): void {
  for (const path of filesUnder(refs)) if (readFileSync(path, 'utf8').trim() === commit) rmSync(path, { force: true })
}

/** What a snapshot holds, as paths in the repository. */
export function snapshotFiles(cacheDirectory: string, repository: string, commit: string): string[] {
  const directory = snapshotDirectory(cacheDirectory, repository, commit)
  return filesUnder(directory).map((path) => relative(directory, path))
}

function filesUnder(directory: string): string[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name)
    return entry.isDirectory() ? filesUnder(path) : [path]
  })
}

function pruneEmpty(directory: string): void {
  if (!existsSync(directory)) return
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) pruneEmpty(join(directory, entry.name))
  }
  if (readdirSync(directory).length === 0) rmdirSync(directory)
}
