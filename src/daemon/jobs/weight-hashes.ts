import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import type { Checkpoint } from '../../engine/weights/checkpoint.js'
import { sha256OfFile } from '../../engine/weights/file-hash.js'
import type { ResolvedRequest } from '../protocol/request.js'

/** What an image's metadata tells of the weights that made it, by the hashes of stable-diffusion-webui. */
export interface WeightHashes {
  /** The first ten digits of the SHA-256. */
  readonly model: string
  /** Likewise, of an autoencoder that is not the model's own. */
  readonly vae?: string
  /** Short hashes by LoRA name. */
  readonly loras: Readonly<Record<string, string>>
  /** The first eight digits of the SHA-256, for each ControlNet. */
  readonly controls: readonly string[]
}

/**
 * Hashes the weights of a job. Those of models are remembered by file; LoRAs are small and are read each time.
 * @throws SwiftdError INVALID_WEIGHTS
 */
export async function hashWeights(
  { modelOptions, loras, controls }: ResolvedRequest,
  { unet, vae }: Checkpoint,
  cacheDirectory: string,
): Promise<WeightHashes> {
  const hash = async (path: string, digits: number): Promise<string> => {
    return (await sha256OfFile(path, cacheDirectory)).slice(0, digits)
  }
  const [model, vaeHash, loraHashes, controlHashes] = await Promise.all([
    hash(unet.weightsPath, 10),
    modelOptions?.vae === undefined ? undefined : hash(vae.weightsPath, 10),
    Promise.all(loras.map(async ({ name, path }) => [displayName(name), await loraHash(path)] as const)),
    Promise.all(controls.map(({ path }) => hash(weightsFile(path), 8))),
  ])
  return {
    model,
    ...(vaeHash !== undefined && { vae: vaeHash }),
    loras: Object.fromEntries(loraHashes),
    controls: controlHashes,
  }
}

/** A name for people: of a file, what it is called. */
export function displayName(nameOrPath: string): string {
  return nameOrPath.includes('/') ? basename(nameOrPath, extname(nameOrPath)) : nameOrPath
}

function weightsFile(path: string): string {
  return statSync(path).isDirectory() ? join(path, 'diffusion_pytorch_model.safetensors') : path
}

/**
 * The first twelve digits of the SHA-256 of a .safetensors file without its header, so that edited metadata does not change
 * it (`addnet_hash_safetensors` of stable-diffusion-webui's modules/hashes.py).
 */
async function loraHash(path: string): Promise<string> {
  const file = await open(path)
  try {
    const length = Buffer.alloc(8)
    await file.read(length, 0, 8, 0)
    const hash = createHash('sha256')
    const start = 8 + Number(length.readBigUInt64LE())
    for await (const chunk of file.createReadStream({ start, autoClose: false })) hash.update(chunk as Buffer)
    return hash.digest('hex').slice(0, 12)
  } finally {
    await file.close()
  }
}
