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

/** Runs a task with the model under a path that nobody has seen, and removes that. */
export async function withLinkedCopy<T>(path: string, task: (copy: string) => Promise<T>): Promise<T> {
  const copy = linkedCopy(path)
  try {
    return await task(copy.path)
  } finally {
    copy.remove()
  }
}

/** Hard links of a file, or of all files of a folder. */
export function linkTree(from: string, to: string): void {
  if (!statSync(from).isDirectory()) return linkSync(from, to)
  mkdirSync(to)
  for (const name of readdirSync(from)) linkTree(join(from, name), join(to, name))
}
