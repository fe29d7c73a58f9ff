import { fromDevice, toHost } from '../../src/engine/graph/borders.js'
import { createGraphBuilder, type Graph } from '../../src/engine/graph/builder.js'
import { typesOf, type GraphTarget } from '../../src/engine/graph/target.js'
import { allocateNative } from '../../src/engine/memory/native-memory.js'
import { createUploader, type UploadedTensor } from '../../src/engine/networks/device-weights.js'
import type { GraphCache } from '../../src/engine/networks/graph-cache.js'
import { allocateTensor } from '../../src/engine/pipeline/local-tensor.js'
import { createRandomValues } from '../random-values.js'
import { requireFinite } from './open-model.js'

/** What attention and linear layers are made of; a provider may compute one of them faster. */
export type ProductOperator = 'MatMul' | 'Gemm'

interface ProductConfig {
  readonly operator: ProductOperator
  readonly side: number
  readonly count: number
}

const NAMES = { left: 'left', right: 'right', row: 'row' } as const

/**
 * `count` products of square matrices, each of the last one's result, in the type of the target's values; the host gets one row
 * (1, side), so that little else takes time.
 */
export function buildProducts({ operator, side, count }: ProductConfig, target: GraphTarget): Graph {
  const g = createGraphBuilder('products', target)
  const right = fromDevice(g, NAMES.right, [side, side])
  let left = fromDevice(g, NAMES.left, [side, side])
  // Linear layers read their weights transposed.
  const options = operator === 'Gemm' ? { attributes: { transB: 1 } } : {}
  for (let index = 0; index < count; index++) left = g.node(operator, [left, right], options)
  toHost(g, NAMES.row, g.node('Gather', [left, g.ints([0])]), [1, side])
  return g.build()
}

/** Large matrix products on a device: what it can be asked for with this runtime and precision. */
export interface MatrixProducts {
  readonly side: number
  /** In one run. */
  readonly count: number
  /** Runs all products. @returns 10^12 floating-point operations per second, a multiply-add being two */
  rate(operator: ProductOperator): Promise<number>
}

/** The largest are large enough for any GPU; smaller ones are for devices that would take seconds for them. */
const SIDES = [512, 1024, 2048, 4096]
const MOST_PRODUCTS = 16
/** What one run may take, as far as the smallest matrices tell. */
const RUN_MS = 500

/** Chooses sizes by how fast the device is with small ones. */
export async function openMatrixProducts(graphs: GraphCache): Promise<MatrixProducts> {
  const small = await openProducts(graphs, SIDES[0], 1)
  await small.runMs('MatMul')
  const smallMs = Math.min(await small.runMs('MatMul'), await small.runMs('MatMul'))
  small.release()
  const productMs = (side: number): number => smallMs * (side / SIDES[0]) ** 3
  const side = SIDES.findLast((each) => 2 * productMs(each) <= RUN_MS) ?? SIDES[0]
  const count = Math.min(MOST_PRODUCTS, Math.max(1, Math.floor(RUN_MS / productMs(side))))
  const { runMs } = await openProducts(graphs, side, count)
  return {
    side,
    count,
    rate: async (operator) => (2 * side ** 3 * count) / (await runMs(operator)) / 1e9,
  }
}

async function openProducts(graphs: GraphCache, side: number, count: number) {
  const uploader = createUploader(graphs)
  const { values } = typesOf(await graphs.target())
  const matrix = async (seed: number): Promise<UploadedTensor> => {
    const host = randomMatrix(side, seed)
    const uploaded = await uploader.upload({ type: 'float32', dims: [side, side], address: host.address }, values)
    host.release()
    return uploaded
  }
  const [left, right] = [await matrix(0), await matrix(1)]
  uploader.release()
  const row = allocateTensor([1, side])
  const runMs = async (operator: ProductOperator): Promise<number> => {
    const config = { operator, side, count }
    const { session } = await graphs.open('bench-products', config, (target) => buildProducts(config, target))
    const binding = session.createBinding()
    binding.bindInput(NAMES.left, left)
    binding.bindInput(NAMES.right, right)
    binding.bindOutput(NAMES.row, row.native)
    const { runtimeMs } = await binding.run()
    binding.release()
    requireFinite('the values of matrix products', row.native)
    return runtimeMs
  }
  const release = (): void => [left, right, row].forEach((each) => each.release())
  return { runMs, release }
}

/** Values as a layer's: a product with it is as large as what it is multiplied with. */
function randomMatrix(side: number, seed: number) {
  const memory = allocateNative(4 * side * side)
  const bytes = new Uint8Array(memory.buffer)
  let offset = 0
  for (const chunk of createRandomValues('F32', seed)
    .source('matrix.weight', [side, side])
    .chunks() as Iterable<Uint8Array>) {
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return memory
}
