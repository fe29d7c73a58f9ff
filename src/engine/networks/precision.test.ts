import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PORTABLE, type Precision } from '../graph/target.js'
import { PROVIDERS, type Provider } from '../ort/provider.js'
import { generate, type GenerateResult } from '../pipeline/generate.js'
import { localStages } from '../pipeline/local-stages.js'
import { openTokenizer } from '../text/tokenizer.js'
import { openCheckpoint } from '../weights/checkpoint.js'
import { openSafetensors } from '../weights/safetensors.js'
import { openModelHost, type ModelHost } from './model-host.js'
import { checkpointBytes } from './weight-bytes.js'

const sd15 = fileURLToPath(new URL('../../../fixtures/goldens/sd15/model', import.meta.url))

/** The code of a GPU that computes in half precision, on the CPU. */
const HALF: Provider = {
  ...PROVIDERS.cuda,
  ...{ memory: 'Cpu', target: { ...PORTABLE, precision: 'float16' }, append: () => undefined },
}

describe('the precision of a device', () => {
  let directory: string
  let host: ModelHost | undefined
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-precision-'))
  })
  afterEach(async () => {
    await host?.release()
    host = undefined
    rmSync(directory, { recursive: true })
  })

  const open = async (precision?: Precision): Promise<ModelHost> => {
    await host?.release()
    return (host = openModelHost({ threads: 1, cacheDirectory: directory, provider: HALF, precision }))
  }
  const draw = async (opened: ModelHost, model: string): Promise<GenerateResult> => {
    const checkpoint = openCheckpoint(model)
    const stages = localStages(await opened.load(checkpoint))
    const tokenizers = await Promise.all(
      checkpoint.textEncoders.map(({ tokenizerDirectory }) => openTokenizer(tokenizerDirectory)),
    )
    const request = {
      ...{ prompt: 'a fox', negativePrompt: null, width: 32, height: 32, numInferenceSteps: 2, guidanceScale: 1 },
      ...{
        seeds: [7n],
        scheduler: { class: 'EulerDiscreteScheduler', config: { beta_schedule: 'scaled_linear' as const } },
      },
    }
    return generate({ checkpoint, stages, tokenizers, request })
  }
  /** A copy of the model that predicts values beyond those of float16, by weights that are numbers of float32. */
  const overflowing = (): string => {
    const copy = join(directory, 'model')
    cpSync(sd15, copy, { recursive: true })
    const path = join(copy, 'unet/diffusion_pytorch_model.safetensors')
    const file = openSafetensors(path)
    file.close()
    const bytes = readFileSync(path)
    bytes.writeFloatLE(1e5, file.tensors.get('conv_out.bias')!.offset)
    writeFileSync(path, bytes)
    return copy
  }

  it('is what it suits best, or what it is told', async () => {
    expect((await (await open()).graphs.target()).precision).toBe('float16')
    expect((await (await open('float32')).graphs.target()).precision).toBe('float32')
  })

  it('decides how much memory its weights and its work take', async () => {
    const checkpoint = openCheckpoint(sd15)
    const taken: number[] = []
    for (const precision of [undefined, 'float32'] as const) {
      const opened = await open(precision)
      await opened.load(checkpoint)
      await opened.prepare(checkpoint, { pass: [2, 4, 8, 8] })
      const { usedBytes, workBytes } = opened.memory
      expect(usedBytes - workBytes).toBe(checkpointBytes(checkpoint, await opened.graphs.target()))
      taken.push(usedBytes - workBytes, workBytes)
    }
    const [halfWeights, halfWork, weights, work] = taken
    expect(weights).toBe(2 * halfWeights)
    expect(work).toBeGreaterThan(1.9 * halfWork)
  })

  it('is told to be to blame where it does not hold what is computed from sound weights', async () => {
    const model = overflowing()
    const drawing = draw(await open(), model)
    await expect(drawing).rejects.toMatchObject({
      code: 'NOT_FINITE',
      message: expect.stringMatching(
        /^The predictions of step 1 of 2 .* "swiftd config set precision float32"/,
      ) as string,
    })
    const { latents } = await draw(await open('float32'), model)
    expect(latents.every(Number.isFinite)).toBe(true)
  })
})
