/** Checkpoints, ControlNets and LoRAs of the published sizes with random weights: for timing, where pictures do not matter. */
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeSafetensors } from '../src/engine/weights/safetensors-writer.js'
import {
  controlNetShapes,
  loraShapes,
  textEncoderShapes,
  unetShapes,
  vaeShapes,
  type ParameterShapes,
} from './parameter-shapes.js'
import { publishedModel, type PublishedFamily, type PublishedModel } from './published-configs.js'
import { createRandomValues, type RandomDtype } from './random-values.js'

export interface RandomModelOptions {
  /** Where models are made and found again. */
  readonly cacheDirectory: string
  readonly family: PublishedFamily
  readonly dtype: RandomDtype
  /** Models of different seeds have different weights. @default 0 */
  readonly seed?: number
}

/** To be raised when the contents change, so that older caches are not taken for these. */
const VERSION = 1

/** The tokenizer of the goldens: its few tokens are valid ids of every real text encoder. */
const TOKENIZER = join(import.meta.dirname, '../fixtures/goldens/sdxl/model')

/**
 * A base model as a diffusers folder: 4.3 GB for SD1.5 and 13.9 GB for SDXL in float32, half of that in float16.
 * @returns the folder
 */
export async function makeRandomCheckpoint(options: RandomModelOptions): Promise<string> {
  return makeOnce('checkpoint', options, (directory) =>
    writeCheckpoint(directory, publishedModel(options.family), options),
  )
}

/**
 * A ControlNet as a diffusers folder: 1.4 GB for SD1.5 and 5 GB for SDXL in float32.
 * @returns the folder
 */
export async function makeRandomControlNet(options: RandomModelOptions): Promise<string> {
  const { controlNet, files } = publishedModel(options.family)
  return makeOnce('controlnet', options, async (directory) => {
    await writeJson(join(directory, 'config.json'), files.controlNet)
    await writeWeights(join(directory, 'diffusion_pytorch_model.safetensors'), controlNetShapes(controlNet), options)
  })
}

/**
 * A LoRA of rank 32 for all attention and feed-forward layers of the UNet, in PEFT's naming.
 * @returns the .safetensors file
 */
export async function makeRandomLora(options: RandomModelOptions): Promise<string> {
  const shapes = loraShapes(unetShapes(publishedModel(options.family).unet), 32)
  const directory = await makeOnce('lora', options, (temporary) =>
    writeWeights(join(temporary, 'lora.safetensors'), shapes, options),
  )
  return join(directory, 'lora.safetensors')
}

async function writeCheckpoint(directory: string, model: PublishedModel, options: RandomModelOptions): Promise<void> {
  const { files } = model
  await writeJson(join(directory, 'model_index.json'), files.modelIndex)
  await writeJson(join(directory, 'scheduler', 'scheduler_config.json'), files.scheduler)
  const write = async (name: string, file: string, config: unknown, shapes: ParameterShapes): Promise<void> => {
    await writeJson(join(directory, name, 'config.json'), config)
    await writeWeights(join(directory, name, file), shapes, options)
  }
  await write('unet', 'diffusion_pytorch_model.safetensors', files.unet, unetShapes(model.unet))
  await write('vae', 'diffusion_pytorch_model.safetensors', files.vae, vaeShapes(model.vae))
  for (const [name, config] of Object.entries(model.textEncoders)) {
    await write(name, 'model.safetensors', files.textEncoders[name], textEncoderShapes(config))
    const tokenizer = name.replace('text_encoder', 'tokenizer')
    await cp(join(TOKENIZER, tokenizer), join(directory, tokenizer), { recursive: true })
  }
}

async function writeWeights(
  path: string,
  shapes: ParameterShapes,
  { dtype, seed = 0 }: RandomModelOptions,
): Promise<void> {
  const values = createRandomValues(dtype, seed)
  await writeSafetensors(
    path,
    Array.from(shapes, ([name, shape]) => values.source(name, shape)),
    { format: 'pt' },
  )
}

/** Makes a folder under a temporary name and renames it: a folder that is there is complete. */
async function makeOnce(
  kind: string,
  { cacheDirectory, family, dtype, seed = 0 }: RandomModelOptions,
  make: (directory: string) => Promise<void>,
): Promise<string> {
  const directory = join(cacheDirectory, `random-${family}-${kind}-${dtype.toLowerCase()}-${seed}-v${VERSION}`)
  if (existsSync(directory)) return directory
  const temporary = `${directory}.${randomUUID()}.tmp`
  try {
    await mkdir(temporary, { recursive: true })
    await make(temporary)
    await rename(temporary, directory)
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    // Another process was faster.
    if (!existsSync(directory)) throw error
  }
  return directory
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true })
  await writeFile(path, `${JSON.stringify(value, null, 2)}\n`)
}
