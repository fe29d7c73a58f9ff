import { SwiftdError } from '../../../engine/errors.js'
import { nearest } from '../../../engine/sampling/schedulers/nearest.js'

/** A file of a repository, as the hub lists it. */
export interface HubFile {
  readonly path: string
  readonly size: number
  /** SHA-256 of large files. */
  readonly sha256?: string
  /** Git's id of the content; of large files that of a pointer to it. */
  readonly gitId: string
}

export const MODEL_INDEX = 'model_index.json'

const DIFFUSERS_WEIGHTS = 'diffusion_pytorch_model'

/** The parts of a diffusers folder that swiftd reads. */
const WEIGHTS = { text_encoder: 'model', text_encoder_2: 'model', unet: DIFFUSERS_WEIGHTS, vae: DIFFUSERS_WEIGHTS }
const TOKENIZER_FILES = [
  'vocab.json',
  'merges.txt',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
]
const SETTINGS = [
  MODEL_INDEX,
  'scheduler/scheduler_config.json',
  ...Object.keys(WEIGHTS).map((component) => `${component}/config.json`),
  ...['tokenizer', 'tokenizer_2'].flatMap((folder) => TOKENIZER_FILES.map((file) => `${folder}/${file}`)),
]

/**
 * The files of a repository that make up its diffusers folder: configurations, tokenizers, and for each component one
 * .safetensors file, by the same preference as `openCheckpoint` has. Nothing else is downloaded.
 * @param variant such as fp16
 * @throws SwiftdError UNSUPPORTED_MODEL or INVALID_REQUEST, with what the repository has instead
 */
export function selectFolder(repository: string, files: readonly HubFile[], variant: string | undefined): HubFile[] {
  const at = new Map(files.map((file) => [file.path, file]))
  if (!at.has(MODEL_INDEX)) throw noFolder(repository, files)
  const weights = Object.entries(WEIGHTS)
    .filter(([component]) => at.has(`${component}/config.json`))
    .map(([component, name]) => selectWeights(repository, at, component, name, variant))
  if (variant !== undefined && !weights.some(({ path }) => path.endsWith(`.${variant}.safetensors`))) {
    throw noVariant(repository, files, variant)
  }
  return [...SETTINGS.flatMap((path) => at.get(path) ?? []), ...weights]
}

/**
 * One .safetensors file of a repository.
 * @throws SwiftdError MODEL_NOT_FOUND with the nearest names
 */
export function selectFile(repository: string, files: readonly HubFile[], path: string): HubFile {
  const found = files.find((file) => file.path === path)
  if (found) return found
  const others = files.map((file) => file.path).filter((each) => each.endsWith('.safetensors'))
  const advice = others.length === 0 ? 'nor any other .safetensors file' : `try ${nearest(path, others, 3).join(', ')}`
  throw new SwiftdError('MODEL_NOT_FOUND', `${repository} has no file ${path}; ${advice}.`)
}

function selectWeights(
  repository: string,
  at: ReadonlyMap<string, HubFile>,
  component: string,
  name: string,
  variant: string | undefined,
): HubFile {
  for (const kind of [variant, undefined, 'fp16']) {
    const file = at.get(`${component}/${name}${kind === undefined ? '' : `.${kind}`}.safetensors`)
    if (file) return file
  }
  const there = [...at.keys()].filter((path) => path.startsWith(`${component}/`))
  throw new SwiftdError('UNSUPPORTED_MODEL', `${repository} cannot be pulled: ${whyNoWeights(component, there)}.`)
}

function whyNoWeights(component: string, paths: readonly string[]): string {
  if (paths.some((path) => /-\d+-of-\d+\.safetensors$/.test(path))) {
    return `its ${component} is split into several files, which swiftd does not read`
  }
  if (paths.some((path) => /\.(bin|ckpt|pt|pth)$/.test(path))) {
    return `its ${component} has only pickled weights, which can run any code when they are read; look for a safetensors version`
  }
  return `its ${component} has no .safetensors file`
}

function noFolder(repository: string, files: readonly HubFile[]): SwiftdError {
  const single = files.map(({ path }) => path).filter((path) => path.endsWith('.safetensors'))
  const shown = single.slice(0, 5).map((path) => `${repository}/${path}`)
  const advice = shown.length === 0 ? 'and no .safetensors file' : `but single files: pull ${shown.join(' or ')}`
  return new SwiftdError('UNSUPPORTED_MODEL', `${repository} has no diffusers folder (no ${MODEL_INDEX}), ${advice}.`)
}

function noVariant(repository: string, files: readonly HubFile[], variant: string): SwiftdError {
  const found = files.flatMap(
    ({ path }) => /^unet\/diffusion_pytorch_model\.([^./]+)\.safetensors$/.exec(path)?.[1] ?? [],
  )
  const advice = found.length === 0 ? 'leave --variant out' : `it has ${found.join(', ')}`
  return new SwiftdError('INVALID_REQUEST', `${repository} has no weights of the variant "${variant}"; ${advice}.`)
}
