import { availableParallelism } from 'node:os'
import type { AdapterSet } from '../../src/engine/networks/adapter-set.js'
import type { BaseModel } from '../../src/engine/networks/base-model.js'
import { openModelHost, type ModelHost } from '../../src/engine/networks/model-host.js'
import type { GenerateRequest } from '../../src/daemon/protocol/request.js'
import { openCheckpoint } from '../../src/engine/weights/checkpoint.js'
import { allocatePass } from '../bare-unet.js'
import { measureInTurn, sd15Request, withDevices, type RunJob } from '../device-jobs.js'
import { elapsedMs, figure, measurePairs, ratios, type Figure, type Scenario } from '../harness.js'
import { linkedCopy } from '../linked-copy.js'
import { makeRandomCheckpoint, makeRandomLora } from '../random-checkpoint.js'

const STEPS = 20
const JOB_ROUNDS = 2
const PATCH_ROUNDS = 5
const SWITCH_ROUNDS = 20
const STEP_ROUNDS = 4
/** 256x256 pixels, both halves of the guidance. */
const PASS = { batch: 2, latentSize: 32 } as const
const COPY_BYTES = 256 * 2 ** 20
const GB = 1e9

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
    withCopy(path, (name) => run({ ...request, loras: [{ name }], ...changes }))
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

/** The file under a path that nobody has seen. */
async function withCopy<T>(path: string, task: (copy: string) => Promise<T>): Promise<T> {
  const copy = linkedCopy(path)
  try {
    return await task(copy.path)
  } finally {
    copy.remove()
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
    return { ...patch, ...(await measureUse(host, model, lora)) }
  } finally {
    await host.release()
  }
}

/** A whole overlay, from the file on, against copying as many bytes on one thread. */
async function measurePatch(host: ModelHost, model: BaseModel, lora: string): Promise<Record<string, Figure>> {
  let byteLength = 0
  const runtimes: number[] = []
  const patch = (): Promise<number> =>
    withCopy(lora, async (path) => {
      const taken = await elapsedMs(async () => {
        const lease = await host.adapters.acquire(model, [{ path, scale: 1 }])
        await lease.value.whole()
        byteLength = lease.value.byteLength
        runtimes.push(lease.value.runtimeMs)
        lease.end()
      })
      await host.adapters.forget(model)
      return taken
    })
  const [from, to] = [Buffer.alloc(COPY_BYTES, 1), Buffer.alloc(COPY_BYTES)]
  const copy = async (): Promise<number> => {
    let rest = byteLength
    return elapsedMs(() => {
      for (; rest > 0; rest -= COPY_BYTES) from.copy(to, 0, 0, Math.min(rest, COPY_BYTES))
      return Promise.resolve()
    })
  }
  const { a, b } = await measurePairs(PATCH_ROUNDS, patch, copy)
  const perGb = (times: readonly number[]): Figure => {
    const seconds = times.map((ms) => ms / 1000 / (byteLength / GB))
    return figure(seconds, 's/GB')
  }
  return {
    'patch, per GB of patched weights': perGb(a),
    'of that inside the runtime': perGb(runtimes.slice(1)),
    'a copy, per GB': perGb(b),
    'share of the bandwidth of a plain copy': figure(ratios(b, a), 'share'),
    'patched weights': figure([byteLength / GB], 'GB'),
  }
}

/** A cached overlay: until it is bound, and what a step takes with it. */
async function measureUse(host: ModelHost, model: BaseModel, path: string): Promise<Record<string, Figure>> {
  const uses = [{ path, scale: 1 }]
  const first = await host.adapters.acquire(model, uses)
  await first.value.whole()
  const { unet } = model.networks
  const switches: number[] = []
  for (let round = 0; round < SWITCH_ROUNDS; round++) {
    const taken = await elapsedMs(async () => {
      const lease = await host.adapters.acquire(model, uses)
      unet.useOverlay((await lease.value.whole()).unet)
      lease.end()
    })
    switches.push(taken)
    unet.useOverlay(undefined)
  }
  const tensors = allocatePass(model.checkpoint, PASS.batch, PASS.latentSize)
  const step = (adapters?: AdapterSet): Promise<number> =>
    elapsedMs(() => model.predictNoise(tensors.inputs, tensors.noise, adapters && { adapters }))
  try {
    const set = await first.value.whole()
    const { a, b } = await measurePairs(
      STEP_ROUNDS,
      () => step(set),
      () => step(),
    )
    return {
      'switch to a cached overlay': figure(switches, 'ms', '< 10'),
      'step with an overlay, of one without': figure(ratios(a, b), 'ratio', '<= 1.02'),
      'step without': figure(b, 'ms'),
    }
  } finally {
    first.end()
    tensors.release()
  }
}
