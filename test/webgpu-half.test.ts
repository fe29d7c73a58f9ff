import { tmpdir } from 'node:os'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Precision } from '../src/engine/graph/target.js'
import { probeTarget } from '../src/engine/networks/probe-target.js'
import { openEnvironment } from '../src/engine/ort/environment.js'
import { openGoldens } from './parity/goldens.js'
import { kinds } from './parity/kinds/index.js'
import { runParity, type CaseResult } from './parity/run.js'
import { findHalfDriver, NO_HALF_DRIVER } from './support/half-driver.js'

const driver = findHalfDriver()

/** Computed from weights in half precision, so that keeping them in it rounds nothing. */
const HALF_FILES = [
  'sd21/unet/unet-fp16-b2-tall',
  'sd21/vae_encode/vae-fp16-encode-wide',
  'sd21/vae_decode/vae-fp16-decode-wide',
  'sd21/pipeline/fp16-txt2img-ddim',
]

/** Each kind of network, and a picture with all that a job can have. */
const CASES = [
  'sd15/text_encoder/text_encoder-batch1',
  'sd15/unet/unet-b2-tall',
  'sd15/controlnet/controlnet-a-b1',
  'sd15/vae_decode/vae-decode-square',
  'sdxl/unet/unet-b2-tall-with-residuals',
  'sdxl/lora_unet/lora-a-unet-0.8',
  'sdxl/pipeline/lora-two',
]

/**
 * How many times the CPU's tolerance an error may be in half precision. The largest that was seen among all goldens, on lavapipe,
 * is 255 times as much; products are summed in half precision.
 */
const HALF_FACTOR = 300

/** Shaders of a device in software take their time. */
const SLOW = { timeout: 300_000 }

describe('half precision on WebGPU', () => {
  let computes = false
  beforeAll(async () => {
    if (driver === undefined) return
    Object.assign(process.env, driver)
    process.env.XDG_RUNTIME_DIR ??= tmpdir()
    computes = (await targetFor('float16')) === 'float16'
  })
  beforeEach(({ skip }) => skip(!computes, NO_HALF_DRIVER))

  it('is kept for weights, where nothing else is asked for, since the device sums badly in it', async () => {
    expect(await targetFor()).toBe('mixed')
  })

  it('of weights alone holds the goldens of files in it within the tolerances of the CPU', SLOW, async () => {
    await expectGoldens(HALF_FILES, 'mixed', 1)
  })

  it(`holds the goldens within ${HALF_FACTOR} times the tolerances of the CPU`, SLOW, async () => {
    await expectGoldens(CASES, 'float16', HALF_FACTOR)
  })
})

/** What the device's graphs are built for. */
async function targetFor(precision?: Precision): Promise<Precision> {
  const environment = openEnvironment({ threads: 1, provider: 'webgpu', precision })
  const target = await probeTarget(environment)
  await environment.settle()
  environment.release()
  return target.precision
}

async function expectGoldens(only: readonly string[], precision: Precision, toleranceFactor: number): Promise<void> {
  const goldens = openGoldens('fixtures/goldens')
  const results: CaseResult[] = []
  try {
    const options = { goldens, only, kinds, device: { provider: 'webgpu', precision }, toleranceFactor } as const
    for await (const result of runParity(options)) results.push(result)
  } finally {
    goldens.close()
  }
  expect(results.filter(({ status }) => status !== 'passed')).toEqual([])
  expect(results.map(({ name }) => name).sort()).toEqual(only.toSorted())
}
