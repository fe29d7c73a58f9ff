import { fileURLToPath } from 'node:url'
import { openSync, closeSync, readSync, statSync } from 'node:fs'
import { openModelHost } from '../../src/engine/networks/model-host.js'
import { openCheckpoint, type Checkpoint } from '../../src/engine/weights/checkpoint.js'
import { elapsedMs, figure, measurePairs, ratios, type Figure, type Scenario } from '../harness.js'
import { linkedCopy } from '../linked-copy.js'
import { measureSecondWorker } from '../memory.js'
import { makeRandomCheckpoint } from '../random-checkpoint.js'

const ROUNDS = 21
const MEMORY_ROUNDS = 5
const BUFFER_BYTES = 8 * 2 ** 20
const MIB = 2 ** 20

/** What it costs to have a checkpoint ready, beside what no program that reads its files could avoid. */
export const load: Scenario = {
  about: 'map and bind a checkpoint of SD1.5 size, and the memory of a second worker on it',
  async run({ cacheDirectory, say }) {
    say('a random SD1.5 checkpoint in float32 (made once: 4.3 GB)')
    const path = await makeRandomCheckpoint({ cacheDirectory, family: 'sd15', dtype: 'F32' })
    say(`${ROUNDS} times map and bind in turn with reading the files; the page cache is warm for both`)
    const times = await measureLoad(path, cacheDirectory)
    if (process.platform !== 'linux') {
      say('the memory of a second worker is measured on Linux only')
      return times
    }
    say(`${MEMORY_ROUNDS} times a second worker beside a first one`)
    return { ...times, ...(await measureMemory(path, cacheDirectory)) }
  },
}

async function measureLoad(path: string, cacheDirectory: string): Promise<Record<string, Figure>> {
  const host = openModelHost({ threads: 1, cacheDirectory })
  const files = weightsFiles(openCheckpoint(path))
  const buffer = Buffer.alloc(BUFFER_BYTES)
  const openMs = (model: string): Promise<number> => elapsedMs(async () => host.load(openCheckpoint(model)))
  const again: number[] = []
  const mapAndBind = async (): Promise<number> => {
    const copy = linkedCopy(path)
    const taken = await openMs(copy.path)
    await host.unload(copy.path)
    again.push(await openMs(copy.path))
    await host.unload(copy.path)
    copy.remove()
    return taken
  }
  const read = async (): Promise<number> =>
    elapsedMs(() => Promise.resolve(files.forEach((file) => readOnce(file, buffer))))
  try {
    const { a, b } = await measurePairs(ROUNDS, mapAndBind, read)
    return {
      'map and bind, of reading the files once': figure(ratios(a, b), 'ratio', '< 0.01'),
      'map and bind': figure(a, 'ms'),
      'map and bind a second time': figure(again.slice(1), 'ms'),
      'read the files once': figure(b, 'ms'),
    }
  } finally {
    await host.release()
  }
}

/** The files of all networks, each once. */
function weightsFiles({ unet, vae, textEncoders }: Checkpoint): string[] {
  return [...new Set([unet, vae, ...textEncoders].map(({ weightsPath }) => weightsPath))]
}

/** Reads a file from begin to end, over and over into one buffer: the least that a program which reads it can do. */
function readOnce(path: string, buffer: Buffer): void {
  const fd = openSync(path, 'r')
  while (readSync(fd, buffer) > 0);
  closeSync(fd)
}

async function measureMemory(path: string, cacheDirectory: string): Promise<Record<string, Figure>> {
  const size = weightsFiles(openCheckpoint(path)).reduce((sum, file) => sum + statSync(file).size, 0)
  const program = fileURLToPath(new URL('../memory-worker.ts', import.meta.url))
  const samples = await measureSecondWorker(MEMORY_ROUNDS, program, [path, cacheDirectory])
  const used = samples.map(({ usedBytes }) => usedBytes)
  const own = samples.map(({ privateBytes }) => privateBytes)
  const share = (bytes: number[]): number[] => bytes.map((each) => each / size)
  const mib = (bytes: number[]): number[] => bytes.map((each) => each / MIB)
  return {
    'memory of a second worker, of the checkpoint': figure(share(used), 'share', '< 0.1'),
    'private memory of it, of the checkpoint': figure(share(own), 'share'),
    'memory of a second worker': figure(mib(used), 'MiB'),
    'private memory of it': figure(mib(own), 'MiB'),
    'the checkpoint': figure([size / MIB], 'MiB'),
  }
}
