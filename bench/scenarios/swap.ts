import { availableParallelism } from 'node:os'
import type { BaseModel } from '../../src/engine/networks/base-model.js'
import { openModelHost, type ModelHost } from '../../src/engine/networks/model-host.js'
import { openCheckpoint } from '../../src/engine/weights/checkpoint.js'
import { allocatePass } from '../bare-unet.js'
import { elapsedMs, figure, measurePairs, ratios, type Figure, type Scenario } from '../harness.js'
import { linkedCopy } from '../linked-copy.js'
import { makeRandomCheckpoint } from '../random-checkpoint.js'
import { makeSingleFile } from '../single-file.js'

const OPEN_ROUNDS = 101
const SWAP_ROUNDS = 8
/** 256x256 pixels. */
const LATENT_SIZE = 32
/** Both halves of the guidance. */
const BATCH = 2

/** Other weights for the same graphs: from another kind of file, and another checkpoint on a warm worker. */
export const swap: Scenario = {
  about: 'open a single file against a folder, and switch between two checkpoints of SD1.5 size',
  async run({ cacheDirectory, say }) {
    say('two random SD1.5 checkpoints in float32, one of them also as a single file (made once: 13 GB)')
    const options = { cacheDirectory, family: 'sd15', dtype: 'F32' } as const
    const folder = await makeRandomCheckpoint(options)
    const other = await makeRandomCheckpoint({ ...options, seed: 1 })
    const single = await makeSingleFile(openCheckpoint(folder))
    const host = openModelHost({ threads: availableParallelism(), cacheDirectory })
    try {
      say(`${OPEN_ROUNDS} times the single file in turn with the folder; graphs are compiled, the page cache is warm`)
      const opening = await measureOpening(host, single, folder)
      say(`${SWAP_ROUNDS} times a swap in turn with a step at 256x256`)
      return { ...opening, ...(await measureSwaps(host, [folder, other])) }
    } finally {
      await host.release()
    }
  },
}

async function measureOpening(host: ModelHost, single: string, folder: string): Promise<Record<string, Figure>> {
  const again = { single: [] as number[], folder: [] as number[] }
  const openMs = async (path: string): Promise<number> => {
    const taken = await elapsedMs(async () => host.load(openCheckpoint(path)))
    await host.unload(path)
    return taken
  }
  const openTwice = async (path: string, seconds: number[]): Promise<number> => {
    const copy = linkedCopy(path)
    const taken = await openMs(copy.path)
    seconds.push(await openMs(copy.path))
    copy.remove()
    return taken
  }
  const { a, b } = await measurePairs(
    OPEN_ROUNDS,
    () => openTwice(single, again.single),
    () => openTwice(folder, again.folder),
  )
  return {
    'open a single file, of opening a folder': figure(ratios(a, b), 'ratio', '<= 1.1'),
    'the same a second time': figure(ratios(again.single, again.folder).slice(1), 'ratio', '<= 1.1'),
    'open a single file': figure(a, 'ms'),
    'open a folder': figure(b, 'ms'),
  }
}

async function measureSwaps(host: ModelHost, paths: readonly [string, string]): Promise<Record<string, Figure>> {
  const tensors = allocatePass(openCheckpoint(paths[0]), BATCH, LATENT_SIZE)
  let current = 0
  let model: BaseModel = await host.load(openCheckpoint(paths[0]))
  await host.load(openCheckpoint(paths[1]))
  const step = (): Promise<number> => elapsedMs(() => model.predictNoise(tensors.inputs, tensors.noise))
  const use = (next: number): Promise<number> => {
    current = next
    return elapsedMs(async () => (model = await host.load(openCheckpoint(paths[next]))))
  }
  const firstSteps: number[] = []
  const resident = async (): Promise<number> => {
    const taken = await use(1 - current)
    await step()
    return taken
  }
  const mapped = async (): Promise<number> => {
    const next = 1 - current
    await host.unload(paths[next])
    const taken = await use(next)
    firstSteps.push(await step())
    return taken
  }
  try {
    const warm = await measurePairs(SWAP_ROUNDS, resident, step)
    const bound = await measurePairs(SWAP_ROUNDS, mapped, step)
    return {
      'swap to a resident checkpoint, of a step': figure(ratios(warm.a, warm.b), 'ratio', '< 1'),
      'swap to one that is mapped again, of a step': figure(ratios(bound.a, bound.b), 'ratio', '< 1'),
      'swap to a resident checkpoint': figure(warm.a, 'ms'),
      'swap to one that is mapped again': figure(bound.a, 'ms'),
      'first step after that': figure(firstSteps.slice(1), 'ms'),
      'step at 256x256': figure([...warm.b, ...bound.b], 'ms'),
    }
  } finally {
    tensors.release()
  }
}
