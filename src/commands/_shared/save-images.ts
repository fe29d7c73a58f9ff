import { basename, dirname, extname, join } from 'node:path'
import type { DaemonClient } from '../../daemon/client/client.js'
import type { ImageInfo, Job } from '../../daemon/protocol/job.js'
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
  const pathsBy = (path: string): string[] => images.map((image) => fillName(path, (name) => fill(name, image)))
  const paths = pathsBy(template)
  return new Set(paths).size === paths.length ? paths : pathsBy(withEnding(template, '-{index}'))
}

/** The target of a job's images: `{job}` in its name is the job's id, and `{line}` the number of its line in a file. */
export function targetOf(target: OutputTarget, { id }: Pick<Job, 'id'>, line?: number): OutputTarget {
  if (target.kind !== 'file') return target
  const fill = (name: string): string => {
    const known = name.replaceAll('{job}', id)
    return line === undefined ? known : known.replaceAll('{line}', String(line))
  }
  return { kind: 'file', path: fillName(target.path, fill) }
}

/**
 * Gives the jobs of a file of prompts targets of their own, in the order in which they are submitted. Where the name says
 * nothing that tells a job from another, or another has taken its names, the number of its line is added.
 */
export function distinctTargets(target: OutputTarget): (job: Job, line: number) => OutputTarget {
  if (target.kind !== 'file') return () => target
  const taken = new Set<string>()
  const tellsApart = /\{(seed|job|line)\}/.test(basename(target.path))
  return (job, line) => {
    const namesOf = (template: OutputTarget): string[] =>
      template.kind === 'file' ? imagePaths(template.path, expectedImages(job)) : []
    const plain = targetOf(target, job, line)
    const numbered = targetOf({ ...target, path: withEnding(target.path, '-{line}') }, job, line)
    const chosen = tellsApart && !namesOf(plain).some((name) => taken.has(name)) ? plain : numbered
    namesOf(chosen).forEach((name) => taken.add(name))
    return chosen
  }
}

/** The images that a job will have. Variations of one seed all have that seed. */
function expectedImages({ request }: Job): Pick<ImageInfo, 'index' | 'seed'>[] {
  const { seed, numImages, variationStrength = 0 } = request
  return Array.from({ length: numImages }, (_, index) => ({ index, seed: variationStrength > 0 ? seed : seed + index }))
}

/** Only the name of a file is a template, not its folder. */
function fillName(path: string, fill: (name: string) => string): string {
  return join(dirname(path), fill(basename(path)))
}

/** `star.png` with `-1` is `star-1.png`. */
function withEnding(path: string, suffix: string): string {
  const ending = extname(path)
  return `${path.slice(0, path.length - ending.length)}${suffix}${ending}`
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
