import { linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** The same model under another path. */
export interface LinkedCopy {
  readonly path: string
  remove(): void
}

/**
 * A copy of hard links: its pages are in memory when the original's are, but no process has seen its path. What an engine
 * remembers of a model that it had open before does not help it.
 * @param path a model's folder or file
 */
export function linkedCopy(path: string): LinkedCopy {
  const directory = mkdtempSync(join(dirname(path), 'linked-'))
  const copy = join(directory, basename(path))
  linkTree(path, copy)
  return { path: copy, remove: () => rmSync(directory, { recursive: true }) }
}

/** Hard links of a file, or of all files of a folder. */
export function linkTree(from: string, to: string): void {
  if (!statSync(from).isDirectory()) return linkSync(from, to)
  mkdirSync(to)
  for (const name of readdirSync(from)) linkTree(join(from, name), join(to, name))
}
