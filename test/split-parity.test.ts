import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { denoise } from '../src/engine/pipeline/denoise.js'
import { localStages } from '../src/engine/pipeline/local-stages.js'
import type { Stages, UnetStages } from '../src/engine/pipeline/stages.js'
import { openGoldens, type Goldens } from './parity/goldens.js'
import { runPipeline, type StagesOf } from './parity/kinds/pipeline.js'
import { runParity, selectCases, type CaseResult } from './parity/run.js'
import { splitStages } from './parity/split-stages.js'

let goldens: Goldens

beforeAll(() => {
  goldens = openGoldens('fixtures/goldens')
})
afterAll(() => goldens.close())

/** Runs the pipelines' cases on stages of one's own. */
async function runCases(only: string, stagesOf: StagesOf): Promise<CaseResult[]> {
  const results: CaseResult[] = []
  const kinds = { pipeline: (context: Parameters<typeof runPipeline>[0]) => runPipeline(context, stagesOf) }
  for await (const result of runParity({ goldens, only, kinds })) results.push(result)
  return results
}

/** The final latents of each run. */
async function finalLatents(
  only: string,
  stagesOf: (...model: Parameters<StagesOf>) => Stages & UnetStages,
): Promise<Float32Array[]> {
  const latents: Float32Array[] = []
  await runCases(only, (model) => {
    const stages = stagesOf(model)
    return {
      ...stages,
      async denoise(plan, options) {
        const final = await denoise(stages, plan, options)
        latents.push(final)
        return final
      },
    }
  })
  return latents
}

/** ‖a - b‖ / ‖b‖ */
function relativeDistance(a: Float32Array, b: Float32Array): number {
  const norm = (values: Float32Array): number => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))
  return norm(a.map((value, index) => value - b[index])) / norm(b)
}

describe('whole jobs whose passes are computed in two parts', () => {
  it.each(['sd15', 'sdxl'])('keep to the goldens of %s', { timeout: 300_000 }, async (family) => {
    const only = `${family}/pipeline/`
    const results = await runCases(only, splitStages)
    expect(results.filter(({ status }) => status !== 'passed')).toEqual([])
    expect(results.length).toBe(selectCases(goldens, only).length)
  })

  it.each([
    'sd15/pipeline/txt2img-ddim-seed0',
    'sd15/pipeline/controlnet-two-batch2',
    'sd15/pipeline/controlnet-one-guess',
    'sd15/pipeline/lora-two-from-step2',
    'sdxl/pipeline/txt2img-euler-seed0',
    'sdxl/pipeline/controlnet-one',
  ])('end with the latents of whole passes within 1e-5: %s', async (only) => {
    const [whole, split] = [await finalLatents(only, localStages), await finalLatents(only, splitStages)]
    expect(whole.length).toBeGreaterThan(0)
    const distances = split.map((latents, index) => relativeDistance(latents, whole[index]))
    expect(Math.max(...distances)).toBeLessThan(1e-5)
  })
})
