import { availableParallelism } from 'node:os'
import type { BaseModel } from '../../src/engine/networks/base-model.js'
import { openModelHost, type ModelHost } from '../../src/engine/networks/model-host.js'
import type { GenerateRequest } from '../../src/daemon/protocol/request.js'
import { openCheckpoint } from '../../src/engine/weights/checkpoint.js'
import { allocatePass } from '../bare-unet.js'
import { measureInTurn, sd15Request, withDevices, type RunJob } from '../device-jobs.js'
import { elapsedMs, figure, measurePairs, ratios, type Figure, type Scenario } from '../harness.js'
import { withLinkedCopy } from '../linked-copy.js'
import { measureOverlay, patchFigures, patchOnce, secondsPerGb, type Patch } from '../lora-costs.js'
import { makeRandomCheckpoint, makeRandomLora } from '../random-checkpoint.js'

const STEPS = 20
const JOB_ROUNDS = 2
const PATCH_ROUNDS = 5
const STEP_ROUNDS = 4
/** 256x256 pixels, both halves of the guidance. */
const PASS = { batch: 2, latentSize: 32 } as const
const COPY_BYTES = 256 * 2 ** 20

/** What a LoRA costs: before the first step, beside the steps, and in them. */
export const lora: Scenario = {
  about: 'a LoRA of rank 32 on a model of SD1.5 size: cold with a bound, patched at once, cached, in use',
  async run({ cacheDirectory, say }) {
    say('a random SD1.5 checkpoint and LoRA in float32 (made once: 4.4 GB)')
    const options = { cacheDirectory, family: 'sd15', dtype: 'F32' } as const
    const model = await makeRandomCheckpoint(options)
    const path = await makeRandomLora(options)
    const engine = await measureEngine(model, path, cacheDirectory, say)
    say(`${JOB_ROUNDS} times a job of ${STEPS} steps at 256x256 without a LoRA and with a cold one, bound 0.2, in turn`)
    const devices = [`cpu:0=${availableParallelism()}`]
    // What is not used is not kept: each job's LoRA is cold.
    const jobs = await withDevices(devices, (run) => measureJobs(run, model, path), { SWIFTD_LORA_CACHE_MB: '0' })
    return { ...jobs, ...engine }
  },
}

async function measureJobs(run: RunJob, model: string, path: string): Promise<Record<string, Figure>> {
  const request = sd15Request(model, STEPS)
  const withLora = (changes: Partial<GenerateRequest>) =>
    withLinkedCopy(path, (name) => run({ ...request, loras: [{ name }], ...changes }))
  // Jobs are long: one of two steps warms up everything.
  await withLora({ numInferenceSteps: 2 })
  const tasks = { plain: () => run(request), bound: () => withLora({ loraBound: 0.2 }) }
  const { plain, bound } = await measureInTurn(JOB_ROUNDS, tasks, 0)
  const total = (jobs: typeof plain): number[] => jobs.map(({ totalMs }) => totalMs)
  return {
    'job with a cold LoRA and bound 0.2, of one without': figure(
      ratios(total(bound), total(plain)),
      'ratio',
      '<= 1.03',
    ),
    'job without a LoRA': figure(total(plain), 'ms'),
  }
}

async function measureEngine(
  path: string,
  lora: string,
  cacheDirectory: string,
  say: (sentence: string) => void,
): Promise<Record<string, Figure>> {
  const host = openModelHost({ threads: availableParallelism(), cacheDirectory })
  try {
    const model = await host.load(openCheckpoint(path))
    say(`${PATCH_ROUNDS} times the patch in turn with a copy of as many bytes`)
    const patch = await measurePatch(host, model, lora)
    say(`${STEP_ROUNDS} times a step with an overlay in turn with one without`)
    return { ...patch, ...(await measureStepsWithOverlay(host, model, lora)) }
  } finally {
    await host.release()
  }
}

/** A whole overlay, from the file on, against copying as many bytes on one thread. */
async function measurePatch(host: ModelHost, model: BaseModel, lora: string): Promise<Record<string, Figure>> {
  const patches: Patch[] = []
  const patch = async (): Promise<number> => {
    const made = await patchOnce(host, model, lora)
    patches.push(made)
    return made.elapsedMs
  }
  const [from, to] = [Buffer.alloc(COPY_BYTES, 1), Buffer.alloc(COPY_BYTES)]
  const copy = async (): Promise<number> => {
    let rest = patches[0].byteLength
    return elapsedMs(() => {
      for (; rest > 0; rest -= COPY_BYTES) from.copy(to, 0, 0, Math.min(rest, COPY_BYTES))
      return Promise.resolve()
    })
  }
  const { a, b } = await measurePairs(PATCH_ROUNDS, patch, copy)
  const { byteLength } = patches[0]
  return {
    ...patchFigures(patches.slice(1)),
    'a copy, per GB': secondsPerGb(b, byteLength),
    'share of the bandwidth of a plain copy': figure(ratios(b, a), 'share'),
  }
}

async function measureStepsWithOverlay(
  host: ModelHost,
  model: BaseModel,
  lora: string,
): Promise<Record<string, Figure>> {
  const tensors = allocatePass(model.checkpoint, PASS.batch, PASS.latentSize)
  try {
    return await measureOverlay(host, model, lora, tensors, STEP_ROUNDS)
  } finally {
    tensors.release()
  }
}
