/** What a LoRA costs in the engine: its patch, switching to it, and steps with it. */
import type { AdapterSet } from '../src/engine/networks/adapter-set.js'
import type { BaseModel } from '../src/engine/networks/base-model.js'
import type { ModelHost } from '../src/engine/networks/model-host.js'
import type { PassTensors } from './bare-unet.js'
import { elapsedMs, figure, measurePairs, ratios, type Figure } from './harness.js'
import { withLinkedCopy } from './linked-copy.js'

const SWITCH_ROUNDS = 20
const GB = 1e9

/** The making of a whole overlay. Times are milliseconds. */
export interface Patch {
  /** From the file on. */
  readonly elapsedMs: number
  readonly runtimeMs: number
  /** Of the patched weights. */
  readonly byteLength: number
}

/** Makes the whole overlay of a LoRA under a path that the engine has not seen, and releases it. */
export function patchOnce(host: ModelHost, model: BaseModel, lora: string): Promise<Patch> {
  return withLinkedCopy(lora, async (path) => {
    const began = performance.now()
    const lease = await host.adapters.acquire(model, [{ path, scale: 1 }])
    await lease.value.whole()
    const { byteLength, runtimeMs } = lease.value
    lease.end()
    const patch = { elapsedMs: performance.now() - began, runtimeMs, byteLength }
    await host.adapters.forget(model)
    return patch
  })
}

export function patchFigures(patches: readonly Patch[]): Record<string, Figure> {
  // The same LoRA makes as many bytes each time.
  const [{ byteLength }] = patches
  const perGb = (time: (patch: Patch) => number): Figure => secondsPerGb(patches.map(time), byteLength)
  return {
    'patch, per GB of patched weights': perGb(({ elapsedMs }) => elapsedMs),
    'of that inside the runtime': perGb(({ runtimeMs }) => runtimeMs),
    'patched weights': figure([byteLength / GB], 'GB'),
  }
}

/** Times of something that is done for so many bytes, in seconds per gigabyte. */
export function secondsPerGb(times: readonly number[], byteLength: number): Figure {
  const seconds = times.map((ms) => ms / 1000 / (byteLength / GB))
  return figure(seconds, 's/GB')
}

/** A cached overlay: until it is bound, and what a step takes with it. */
export async function measureOverlay(
  host: ModelHost,
  model: BaseModel,
  lora: string,
  tensors: PassTensors,
  rounds: number,
): Promise<Record<string, Figure>> {
  const uses = [{ path: lora, scale: 1 }]
  const first = await host.adapters.acquire(model, uses)
  try {
    const set = await first.value.whole()
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
    const step = (adapters?: AdapterSet): Promise<number> =>
      elapsedMs(() => model.predictNoise(tensors.inputs, tensors.noise, adapters && { adapters }))
    const { a, b } = await measurePairs(
      rounds,
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
  }
}
