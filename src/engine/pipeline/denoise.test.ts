import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openModelHost, type ModelHost } from '../networks/model-host.js'
import { openTokenizer, type ClipTokenizer } from '../text/tokenizer.js'
import { openCheckpoint, type Checkpoint } from '../weights/checkpoint.js'
import { denoise, type DenoisePlan } from './denoise.js'
import { generate } from './generate.js'
import { localStages } from './local-stages.js'
import type { Stages, UnetStages } from './stages.js'

const model = fileURLToPath(new URL('../../../fixtures/goldens/sd15/model', import.meta.url))

const base = {
  num_train_timesteps: 1000,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear' as const,
}

/** Schedulers with every kind of state: none, earlier predictions, earlier samples, half steps, and fresh noise. */
const schedulers = [
  'EulerDiscreteScheduler',
  'EulerAncestralDiscreteScheduler',
  'PNDMScheduler',
  'LMSDiscreteScheduler',
  'HeunDiscreteScheduler',
  'KDPM2AncestralDiscreteScheduler',
  'DPMSolverMultistepScheduler',
  'UniPCMultistepScheduler',
]

describe('the denoising loop', () => {
  let directory: string
  let host: ModelHost
  let checkpoint: Checkpoint
  let stages: Stages & UnetStages
  let tokenizers: ClipTokenizer[]

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-denoise-'))
    host = openModelHost({ threads: 2, cacheDirectory: directory })
    checkpoint = openCheckpoint(model)
    stages = localStages(await host.load(checkpoint))
    tokenizers = await Promise.all(checkpoint.textEncoders.map((each) => openTokenizer(each.tokenizerDirectory)))
  })
  afterAll(async () => {
    await host.release()
    rmSync(directory, { recursive: true })
  })

  /** A job's plan, taken where the pipeline hands it over, then run as the test likes. */
  const withPlan = async <T>(schedulerClass: string, run: (plan: DenoisePlan) => Promise<T>): Promise<T> => {
    let result: { value: T } | undefined
    const denoiseAll = async (plan: DenoisePlan): Promise<Float32Array> => {
      result = { value: await run(plan) }
      return denoise(stages, plan)
    }
    const request = {
      prompt: 'a red fox',
      negativePrompt: 'blurry',
      width: 64,
      height: 64,
      numInferenceSteps: 6,
      guidanceScale: 5,
      seeds: [3n],
      scheduler: { class: schedulerClass, config: base },
    }
    await generate({ checkpoint, tokenizers, stages: { ...stages, denoise: denoiseAll }, request })
    return result!.value
  }

  for (const scheduler of schedulers) {
    it(`goes on from any finished step of ${scheduler} to the same bits`, async () => {
      await withPlan(scheduler, async (plan) => {
        const predictions: Float32Array[] = []
        const whole = await denoise(stages, plan, {
          onStep: ({ modelOutput }) => void predictions.push(modelOutput.slice()),
        })
        for (const finished of [1, 2, predictions.length - 1, predictions.length]) {
          const indices: number[] = []
          const resumed = await denoise(stages, plan, {
            finished: predictions.slice(0, finished),
            onStep: ({ index }) => void indices.push(index),
          })
          expect(Buffer.from(resumed.buffer)).toEqual(Buffer.from(whole.buffer))
          expect(indices).toEqual(predictions.map((_, index) => index).slice(finished))
        }
      })
    })
  }

  it('stops with CANCELLED before the next step', async () => {
    await withPlan('EulerDiscreteScheduler', async (plan) => {
      const controller = new AbortController()
      const steps: number[] = []
      const running = denoise(stages, plan, {
        signal: controller.signal,
        onStep({ index }) {
          steps.push(index)
          if (index === 2) controller.abort()
        },
      })
      await expect(running).rejects.toMatchObject({ code: 'CANCELLED' })
      expect(steps).toEqual([0, 1, 2])
    })
  })

  it.each([NaN, -Infinity])('ends with NOT_FINITE at the first prediction that has %s', async (value) => {
    await withPlan('EulerDiscreteScheduler', async (plan) => {
      const steps: number[] = []
      const spoiled: UnetStages = {
        ...stages,
        async predictNoise(sample, timestep, conditioning, out, options) {
          const timing = await stages.predictNoise(sample, timestep, conditioning, out, options)
          if (steps.length === 2) out.data[out.data.length - 1] = value
          return timing
        },
      }
      const running = denoise(spoiled, plan, { onStep: ({ index }) => void steps.push(index) })
      await expect(running).rejects.toMatchObject({
        code: 'NOT_FINITE',
        message: expect.stringMatching(/^The predictions of step 3 of 6 .*NaN/) as string,
      })
      expect(steps).toEqual([0, 1])
    })
  })

  it('reports times that add up', async () => {
    await withPlan('EulerDiscreteScheduler', async (plan) => {
      await denoise(stages, plan, {
        onStep({ elapsedMs, runtimeMs }) {
          expect(runtimeMs).toBeGreaterThan(0)
          expect(elapsedMs).toBeGreaterThanOrEqual(runtimeMs)
        },
      })
    })
  })
})
