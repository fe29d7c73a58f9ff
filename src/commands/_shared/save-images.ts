import { basename, dirname, extname, join } from 'node:path'
import type { DaemonClient } from '../../daemon/client/client.js'
import type { ImageInfo } from '../../daemon/protocol/job.js'
import { writeNewFile, writeOutput, type OutputTarget } from './output-file.js'

/** An image that was saved. */
export type SavedImage = Pick<ImageInfo, 'index' | 'width' | 'height' | 'seed'> & { readonly path: string }

/** Fetches images of a job and saves each. */
export async function saveImages(
  client: DaemonClient,
  jobId: string,
  images: readonly ImageInfo[],
  target: OutputTarget,
): Promise<SavedImage[]> {
  const names = target.kind === 'file' ? imagePaths(target.path, images) : []
  const saved: SavedImage[] = []
  for (const [i, { index, width, height, seed }] of images.entries()) {
    const png = await client.image(jobId, index)
    saved.push({ index, width, height, seed, path: await saveImage(png, seed, target, names[i]) })
  }
  return saved
}

/**
 * The path of each image. Where the name says nothing that tells several images apart, their numbers are added:
 * `name-0.png`, `name-1.png`, …
 */
export function imagePaths(template: string, images: readonly Pick<ImageInfo, 'index' | 'seed'>[]): string[] {
  const fill = (text: string, { index, seed }: Pick<ImageInfo, 'index' | 'seed'>): string => {
    return text.replaceAll('{seed}', String(seed)).replaceAll('{index}', String(index))
  }
  const [folder, name] = [dirname(template), basename(template)]
  const paths = images.map((image) => join(folder, fill(name, image)))
  if (new Set(paths).size === paths.length) return paths
  const ending = extname(name)
  const numbered = `${name.slice(0, name.length - ending.length)}-{index}${ending}`
  return images.map((image) => join(folder, fill(numbered, image)))
}

async function saveImage(png: Buffer, seed: number, target: OutputTarget, path: string | undefined): Promise<string> {
  switch (target.kind) {
    case 'stdout':
      await new Promise<void>((done, fail) => process.stdout.write(png, (error) => (error ? fail(error) : done())))
      return '-'
    case 'file':
      await writeOutput(path ?? target.path, png)
      return path ?? target.path
    case 'new-file':
      return writeNewFile(target.directory, `swiftd-${seed}`, '.png', png)
  }
}
