/**
 * Measures what patching a weight with LoRAs takes of memory besides its result, for the factors in
 * src/engine/networks/patch-work.ts:
 *
 *     npx tsx bench/patch-memory.ts
 *
 * Each case is measured in a process of its own, from Linux's accounts (proc(5)), as bench/activation-memory.ts does. Half
 * precision is that of the graphs for GPUs, on the CPU.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import type { LayerType } from '../src/engine/graph/patch.js'
import { PORTABLE, weightType, type Precision } from '../src/engine/graph/target.js'
import { allocateNative } from '../src/engine/memory/native-memory.js'
import { loadWeights } from '../src/engine/networks/device-weights.js'
import { openModelHost } from '../src/engine/networks/model-host.js'
import { createPatcher, type WeightedLayer } from '../src/engine/networks/patcher.js'
import { PROVIDERS } from '../src/engine/ort/provider.js'
import type { DeviceTensor } from '../src/engine/ort/value.js'
import { tensorBytes, type NativeTensor } from '../src/engine/tensor.js'

/** A weight (rows, columns), and LoRAs of a rank and a type on it. */
type Case = readonly [rows: number, columns: number, rank: number, loras: number, type: LayerType, precision: Precision]

const CASES: readonly Case[] = [
  [320, 320, 16, 1, 'float16', 'float32'],
  [10240, 1280, 32, 1, 'float32', 'float32'],
  [10240, 1280, 128, 1, 'float16', 'float32'],
  [10240, 1280, 128, 3, 'float32', 'float32'],
  [10240, 1280, 128, 3, 'float16', 'float32'],
  [1280, 23040, 64, 1, 'float16', 'float32'],
  [2560, 20480, 256, 1, 'float32', 'float32'],
  [2560, 20480, 256, 1, 'float16', 'float32'],
  [10240, 1280, 32, 1, 'float32', 'float16'],
  [10240, 1280, 128, 3, 'float16', 'float16'],
  [1280, 23040, 64, 1, 'float16', 'float16'],
  [2560, 20480, 256, 1, 'float16', 'float16'],
]

const [given] = process.argv.slice(2)
if (given !== undefined) {
  process.stdout.write(String(await measure(JSON.parse(given) as Case)))
  process.exit(0)
}
for (const each of CASES) {
  const args = ['--import', import.meta.resolve('tsx'), import.meta.filename, JSON.stringify(each)]
  const { stdout } = await execa(process.execPath, args, { stderr: 'inherit' })
  const [rows, columns, rank, loras, type, precision] = each
  const layerBytes = 4 * loras * rank * (rows + columns)
  const [taken, layers] = [Number(stdout), layerBytes].map((bytes) => (bytes / 1e6).toFixed(2).padStart(7))
  console.log(
    `${precision} ${rows}x${columns}, ${loras} LoRAs of rank ${rank} in ${type}: layers ${layers} MB, taken ${taken} MB`,
  )
}

/** What two patches take over their results. */
async function measure([rows, columns, rank, loras, type, precision]: Case): Promise<number> {
  const half = {
    ...PROVIDERS.cuda,
    memory: 'Cpu',
    target: { ...PORTABLE, precision },
    append: () => undefined,
  } as const
  const cacheDirectory = join(homedir(), '.cache/swiftd/bench')
  const provider = precision === 'float16' ? half : 'cpu'
  const { graphs } = openModelHost({ threads: 2, cacheDirectory, provider })
  const patcher = createPatcher(graphs)
  const layersOf = (m: number, k: number, r: number): WeightedLayer[] =>
    Array.from({ length: loras }, () => {
      const [up, down] = [tensor(type, [m, r]), tensor(type, [r, k])]
      const layer = { target: 'unet', module: 'bench', joined: false, up, down, alpha: r, rank: r } as const
      return { path: 'bench', weight: 'bench', scale: 1, layer }
    })
  /** A weight as the device has it. */
  const weight = async (dims: readonly number[]): Promise<DeviceTensor> => {
    const own = tensor('float32', dims)
    const weights = { path: 'bench', find: () => own, close: () => undefined }
    const graph = { weights: [{ name: 'bench', dims, type: weightType({ precision }, dims) }] }
    const loaded = await loadWeights(graphs, weights, [{ graph }] as never)
    return loaded.find('bench') ?? own
  }
  const [small, base] = [await weight([32, 32]), await weight([rows, columns])]
  const [smallLayers, layers] = [layersOf(32, 32, 4), layersOf(rows, columns, rank)]
  for (let run = 0; run < 2; run++) (await patcher.patch(small, smallLayers)).release()
  globalThis.gc?.()
  writeFileSync('/proc/self/clear_refs', '5')
  const before = status('VmRSS') - status('RssFile')
  const results = [await patcher.patch(base, layers), await patcher.patch(base, layers)]
  const peak = status('VmHWM') - status('RssFile') - before
  return results.reduce((rest, { byteLength }) => rest - byteLength, peak)
}

/** Zeros, whose pages are there before the measurement begins. */
function tensor(type: LayerType, dims: readonly number[]): NativeTensor {
  const { floats, address } = allocateNative(tensorBytes(type, dims))
  floats.fill(0)
  return { type, dims, address }
}

/** Bytes that /proc/self/status has under a name. */
function status(field: string): number {
  const text = readFileSync('/proc/self/status', 'utf8')
  return 1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1])
}
