import { readFileSync } from 'node:fs'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { DEMO } from '../demo.js'
import { makeRandomCheckpoint, makeRandomControlNet, makeRandomLora } from '../random-checkpoint.js'
import type { AddonSources } from './addon-files.js'
import type { ServingRequest } from './driver.js'

/** What is served, and what it is measured with. */
export interface ServingModel {
  /** What all jobs have in common, at the size that was asked for. */
  readonly request: ServingRequest & { model: string; numInferenceSteps: number; guidanceScale: number }
  /** base64 of a PNG with edges; the daemon brings it to the size. */
  readonly controlImage: string
  readonly addons: AddonSources
}

export interface ServingModelOptions {
  readonly cacheDirectory: string
  /** A model of SD1.5's size in the place of the demo model. */
  readonly sd15: boolean
  /** Pixels. */
  readonly size: number
  readonly steps: number
}

const FIXTURES = join(import.meta.dirname, '../../fixtures/models')
/** LoRAs of random weights: as many as a job has at most, so that one never has the same pages twice. */
const LORAS = 2

/** Makes or finds the files: nothing for the demo model, 6 GB once for random weights of SD1.5's size. */
export async function prepareServingModel(options: ServingModelOptions): Promise<ServingModel> {
  const { size, steps } = options
  const { model, addons } = options.sd15 ? await randomFiles(options) : await demoFiles(options)
  const { prompt, seed, guidanceScale } = DEMO
  return {
    // One call of the UNet for each step, which not every model's own scheduler has.
    request: {
      prompt,
      seed,
      guidanceScale,
      scheduler: 'euler',
      model,
      width: size,
      height: size,
      numInferenceSteps: steps,
    },
    controlImage: readFileSync(join(FIXTURES, 'examples/canny_0.png')).toString('base64'),
    addons,
  }
}

interface Files {
  readonly model: string
  readonly addons: AddonSources
}

/** Copied beside the other models, since hard links stay on one file system and out of the repository. */
async function demoFiles({ cacheDirectory }: ServingModelOptions): Promise<Files> {
  const directory = join(cacheDirectory, 'demo-addons')
  for (const name of ['controlnets', 'loras'])
    await cp(join(FIXTURES, name), join(directory, name), { recursive: true })
  return {
    model: DEMO.path,
    addons: {
      directory,
      controlNets: [join(directory, 'controlnets/canny')],
      loras: ['stripes', 'neon'].map((name) => join(directory, `loras/${name}.safetensors`)),
    },
  }
}

async function randomFiles({ cacheDirectory }: ServingModelOptions): Promise<Files> {
  const options = { cacheDirectory, family: 'sd15', dtype: 'F32' } as const
  const loras: string[] = []
  for (let seed = 0; seed < LORAS; seed++) loras.push(await makeRandomLora({ ...options, seed }))
  return {
    model: await makeRandomCheckpoint(options),
    addons: { directory: cacheDirectory, controlNets: [await makeRandomControlNet(options)], loras },
  }
}
