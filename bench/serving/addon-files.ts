import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { linkTree } from '../linked-copy.js'

/** Any number of ControlNets and LoRAs, each with a path of its own. */
export interface AddonFiles {
  readonly controlNet: (number: number) => string
  readonly lora: (number: number) => string
  readonly remove: () => void
}

export interface AddonSources {
  /** On the file system of the sources: files are linked. */
  readonly directory: string
  /** Folders. */
  readonly controlNets: readonly string[]
  /** Files. */
  readonly loras: readonly string[]
}

/**
 * Add-ons by number, made of a few real ones by hard links: for the daemon each is another file, so none is resident before
 * it was used, and thousands take no space. Their pages are in memory when the sources' are: what is measured of loading is
 * everything but the disk.
 */
export function createAddonFiles({ directory, controlNets, loras }: AddonSources): AddonFiles {
  const root = mkdtempSync(join(directory, 'linked-addons-'))
  const made = new Set<string>()
  const link = (sources: readonly string[], number: number, name: string): string => {
    const path = join(root, name)
    if (!made.has(path)) linkTree(sources[number % sources.length], path)
    made.add(path)
    return path
  }
  return {
    controlNet: (number) => link(controlNets, number, `controlnet-${number}`),
    lora: (number) => link(loras, number, `lora-${number}.safetensors`),
    remove: () => rmSync(root, { recursive: true, force: true }),
  }
}
