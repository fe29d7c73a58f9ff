import { createHash } from 'node:crypto'
import { sha256OfFile } from '../../engine/weights/file-hash.js'

/** A component and the .safetensors file that it lies in. */
export interface ComponentFile {
  readonly name: string
  readonly file: string
}

interface Digestible {
  readonly kind: 'folder' | 'file'
  readonly path: string
  readonly components: readonly ComponentFile[]
}

/**
 * The digest that tells models, LoRAs and ControlNets apart: of a single file its SHA-256, as model sites show it; of a folder the SHA-256 of a
 * list of its components with the SHA-256 of their weights.
 * @param cacheDirectory where the hashes of files are remembered
 * @param known hashes of files that need not be read
 * @throws SwiftdError INVALID_WEIGHTS if a file cannot be read
 */
export async function digestOf(
  { kind, path, components }: Digestible,
  cacheDirectory: string,
  known: ReadonlyMap<string, string> = new Map(),
): Promise<string> {
  const hash = async (file: string): Promise<string> => known.get(file) ?? (await sha256OfFile(file, cacheDirectory))
  if (kind === 'file') return hash(path)
  const list = createHash('sha256')
  for (const { name, file } of components) list.update(`${name} ${await hash(file)}\n`)
  return list.digest('hex')
}
