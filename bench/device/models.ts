import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { typesOf, type Precision } from '../../src/engine/graph/target.js'
import { DEMO } from '../demo.js'
import { makeRandomCheckpoint, makeRandomControlNet, makeRandomLora } from '../random-checkpoint.js'
import type { DeviceModel } from './settings.js'

/** What can be measured, at which size in pixels. */
const MODELS = {
  sd15: { label: 'SD1.5', size: 512 },
  sdxl: { label: 'SDXL', size: 1024 },
  demo: { label: 'demo', size: DEMO.size },
} as const

export type ModelName = keyof typeof MODELS

/**
 * Names of models with commas between them.
 * @throws Error for one that there is not
 */
export function parseModels(text = 'sd15,sdxl'): ModelName[] {
  return text.split(',').map((part) => {
    const name = part.trim()
    if (Object.hasOwn(MODELS, name)) return name as ModelName
    throw new Error(`There is no model "${name}" to measure with; --model takes ${Object.keys(MODELS).join(', ')}.`)
  })
}

/**
 * The files of a model: random ones of a published size, as a device of this precision would have them, or the demo model's.
 * They are made in the cache directory, and found there again.
 * @param size @default the model's own
 */
export async function makeDeviceModel(
  name: ModelName,
  precision: Precision,
  cacheDirectory: string,
  size?: number,
): Promise<DeviceModel> {
  const files = name === 'demo' ? await copyDemo(cacheDirectory) : await makeRandom(name, precision, cacheDirectory)
  return { ...MODELS[name], ...files, ...(size !== undefined && { size }) }
}

type Files = Omit<DeviceModel, 'label' | 'size'>

async function makeRandom(
  family: Exclude<ModelName, 'demo'>,
  precision: Precision,
  cacheDirectory: string,
): Promise<Files> {
  const options = {
    cacheDirectory,
    family,
    dtype: typesOf({ precision }).weights === 'float16' ? 'F16' : 'F32',
  } as const
  return {
    checkpoint: await makeRandomCheckpoint(options),
    controlNet: await makeRandomControlNet(options),
    lora: await makeRandomLora(options),
  }
}

/** A copy, since links are made beside the files. */
async function copyDemo(cacheDirectory: string): Promise<Files> {
  const [from, to] = [join(DEMO.path, '..'), join(cacheDirectory, 'demo')]
  const parts = { checkpoint: 'tiny-shapes-xl', controlNet: 'controlnets/canny', lora: 'loras/stripes.safetensors' }
  for (const part of Object.values(parts)) await cp(join(from, part), join(to, part), { recursive: true })
  return {
    checkpoint: join(to, parts.checkpoint),
    controlNet: join(to, parts.controlNet),
    lora: join(to, parts.lora),
  }
}
