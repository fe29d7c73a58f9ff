import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { edited, withPortableOperators } from '../../../test/support/portable-operators.js'
import {
  noise,
  noiseTensor,
  relativeError,
  runGraph,
  weightsOf,
  type GraphTensor,
} from '../../../test/support/run-graph.js'
import { OrtError } from '../ort/api.js'
import { openEnvironment, type Environment } from '../ort/environment.js'
import { openSession } from '../ort/session.js'
import {
  readControlNetConfig,
  readTextEncoderConfig,
  readUnetConfig,
  readVaeConfig,
  type UnetConfig,
} from '../weights/config.js'
import { fromDevice, toDevice } from './borders.js'
import { createGraphBuilder, type Graph } from './builder.js'
import { gatedLinear } from './layers.js'
import type { ModelProto, NodeProto } from './onnx_pb.js'
import { buildPatch } from './patch.js'
import { buildResidualSum } from './residual-sum.js'
import { PORTABLE, type FloatType, type GraphTarget } from './target.js'
import { buildTextEncoder } from './text-encoder.js'
import { residualDims, trunkShapes } from './trunk-shapes.js'
import { buildControlNet, buildControlNetConditioning, buildUnetDecoder, buildUnetEncoder, UNET_NAMES } from './unet.js'
import { buildVaeDecoder, buildVaeEncoder, VAE_NAMES } from './vae.js'

const goldens = fileURLToPath(new URL('../../../fixtures/goldens/', import.meta.url))
const WEIGHTS = 'diffusion_pytorch_model.safetensors'
const CUDA: GraphTarget = { precision: 'float16', operators: 'cuda', attention: 'fused' }
const cuda = (precision: FloatType): GraphTarget => ({ ...CUDA, precision })

const tiny = readUnetConfig(join(goldens, 'sd15/model/unet/config.json'))
/** The sizes of the published SD1.5. */
const published: UnetConfig = {
  ...tiny,
  block_out_channels: [320, 640, 1280, 1280].slice(0, tiny.block_out_channels.length),
  heads: tiny.heads.map(() => 8),
  norm_num_groups: 32,
}
const controlNet = readControlNetConfig(join(goldens, 'sd15/controlnet-a/config.json'))
const vae = readVaeConfig(join(goldens, 'sd21/model/vae/config.json'))
const xlVae = readVaeConfig(join(goldens, 'sdxl/model/vae/config.json'))
const text = readTextEncoderConfig(join(goldens, 'sd15/model/text_encoder/config.json'))

/** What no CPU has kernels for. */
const FUSED =
  /(Failed to find kernel for com\.microsoft\.|Could not find an implementation for )(GroupNorm|SkipGroupNorm|BiasSplitGelu)\(1\)/

let environment: Environment
beforeAll(() => {
  environment = openEnvironment({ threads: 2 })
})
afterAll(() => environment.release())

/** How far the runtime comes with a graph. It checks operators, types and shapes before it looks for kernels. */
async function outcome({ model }: Graph): Promise<string> {
  try {
    const session = await openSession(environment, model)
    session.release()
    return 'opened'
  } catch (error) {
    if (error instanceof OrtError) return error.message
    throw error
  }
}

describe('a graph for CUDA', () => {
  const fused: [name: string, graph: Graph, values?: FloatType][] = [
    ['UNet encoder', buildUnetEncoder(tiny, CUDA)],
    ['UNet decoder', buildUnetDecoder(tiny, CUDA)],
    ['UNet encoder of the published size', buildUnetEncoder(published, CUDA)],
    ['UNet decoder of the published size', buildUnetDecoder(published, CUDA)],
    ['ControlNet', buildControlNet(controlNet, CUDA)],
    ['VAE decoder', buildVaeDecoder(vae, CUDA)],
    ['VAE encoder', buildVaeEncoder(vae, CUDA)],
    ['VAE decoder in float32', buildVaeDecoder(xlVae, CUDA), 'float32'],
  ]
  for (const [name, graph, values = 'float16'] of fused) {
    it(`is right up to the kernels that a CPU lacks: ${name}`, async () => {
      expect(await outcome(graph)).toMatch(FUSED)
      expect(await outcome(withPortableOperators(graph, values))).toBe('opened')
    })
  }

  it('is the portable one where there is nothing to fuse', async () => {
    const graphs = [
      buildControlNetConditioning(controlNet, CUDA),
      buildResidualSum(trunkShapes(tiny), CUDA),
      buildTextEncoder(text, CUDA),
      buildPatch(['float16', 'bfloat16'], 'float16'),
    ]
    for (const graph of graphs) expect(await outcome(graph)).toBe('opened')
  })

  it('fuses what there is to fuse in the published sizes', () => {
    const names = (graph: Graph): Set<string> => {
      const found = new Set<string>()
      edited(graph, (model) => model.graph?.node.forEach(({ opType }) => found.add(opType)))
      return found
    }
    const operators = names(buildUnetDecoder(published, CUDA))
    expect([...operators]).toEqual(expect.arrayContaining(['GroupNorm', 'SkipGroupNorm', 'BiasSplitGelu']))
    // All are inside of the fused ones.
    for (const operator of ['InstanceNormalization', 'QuickGelu', 'Gelu', 'Split']) {
      expect(operators, operator).not.toContain(operator)
    }
  })

  it('has the portable norm where groups have an odd number of channels, which the kernel cannot read', () => {
    const odd = { ...tiny, block_out_channels: tiny.block_out_channels.map(() => 12), heads: tiny.heads.map(() => 2) }
    expect(nodesOf(buildUnetEncoder(odd, CUDA), 'GroupNorm')).toBe(0)
    expect(nodesOf(buildUnetEncoder(odd, CUDA), 'InstanceNormalization')).toBeGreaterThan(0)
  })
})

describe('the check of graphs for CUDA', () => {
  const first = (model: ModelProto, opType: string): NodeProto => {
    const node = model.graph?.node.find((each) => each.opType === opType)
    if (!node) throw new Error(`no ${opType}`)
    return node
  }
  const mistakes: [name: string, operator: string, edit: (node: NodeProto, model: ModelProto) => void][] = [
    [
      'an attribute is missing',
      'GroupNorm',
      (node) => (node.attribute = node.attribute.filter(({ name }) => name !== 'groups')),
    ],
    ['an attribute is unknown', 'SkipGroupNorm', (node) => (node.attribute[0].name = 'group')],
    ['an attribute has another type', 'GroupNorm', (node) => (node.attribute[0].type = 1)],
    ['an input is missing', 'SkipGroupNorm', (node) => node.input.pop()],
    ['an input has another type', 'GroupNorm', (node, model) => (node.input[0] = first(model, 'Shape').output[0])],
    ['tokens have two axes', 'BiasSplitGelu', (node, model) => (node.input[0] = first(model, 'Gemm').output[0])],
  ]
  for (const [name, operator, edit] of mistakes) {
    it(`fails if ${name}`, async () => {
      const wrong = edited(buildUnetEncoder(published, CUDA), (model) => edit(first(model, operator), model))
      expect(await outcome(wrong)).not.toMatch(FUSED)
      expect(await outcome(wrong)).not.toBe('opened')
    })
  }
})

/** What a CPU computes for a graph's fused operators against what it computes for the portable graph, in float32. */
describe('the formulation for CUDA', () => {
  // In parts of the largest value; float32's rounding over some tens of layers, and float16's.
  const tolerances: [FloatType, number][] = [
    ['float32', 1e-5],
    ['float16', 0.01],
  ]
  const batch = 2

  for (const [precision, tolerance] of tolerances) {
    it(`decodes as the UNet does, in ${precision}`, async () => {
      const weights = weightsOf(join(goldens, 'sd15/model/unet', WEIGHTS))
      const shapes = trunkShapes(tiny)
      const sizes = residualDims(shapes, [batch, 0, 8, 8])
      const names = [...shapes.skips.map((_, index) => UNET_NAMES.skip(index)), UNET_NAMES.mid]
      const inputs = (type: FloatType): Record<string, GraphTensor> => ({
        ...Object.fromEntries(names.map((name, index) => [name, noiseTensor(sizes[index], index + 1, type)])),
        [UNET_NAMES.activatedTime]: noiseTensor([batch, shapes.timeWidth], 50, type),
        [UNET_NAMES.encoderHiddenStates]: noiseTensor([batch, 7, tiny.cross_attention_dim[0]], 51),
      })
      const outputs = { [UNET_NAMES.noise]: { dims: [batch, tiny.out_channels, 8, 8] } }
      const graph = withPortableOperators(buildUnetDecoder(tiny, cuda(precision)), precision)
      const actual = await runGraph(environment, graph, weights, inputs(precision), outputs)
      const expected = await runGraph(environment, buildUnetDecoder(tiny), weights, inputs('float32'), outputs)
      expect(relativeError(actual[UNET_NAMES.noise], expected[UNET_NAMES.noise])).toBeLessThan(tolerance)
    })

    it(`decodes as the autoencoder does, in ${precision}`, async () => {
      const weights = weightsOf(join(goldens, 'sd21/model/vae', WEIGHTS))
      const inputs = { [VAE_NAMES.latents]: noiseTensor([batch, vae.latent_channels, 8, 8], 1) }
      const outputs = { [VAE_NAMES.image]: { dims: [batch, 3, 64, 64] } }
      const graph = withPortableOperators(buildVaeDecoder(vae, cuda(precision)), precision)
      const actual = await runGraph(environment, graph, weights, inputs, outputs)
      const expected = await runGraph(environment, buildVaeDecoder(vae), weights, inputs, outputs)
      expect(relativeError(actual[VAE_NAMES.image], expected[VAE_NAMES.image])).toBeLessThan(tolerance)
    })

    it(`gates as the portable layer does, in ${precision}`, async () => {
      const [rows, from, width] = [6, 8, 1280]
      const build = (target: GraphTarget): Graph => {
        const g = createGraphBuilder('gate', target)
        const x = fromDevice(g, 'x', ['T', from])
        toDevice(g, 'y', gatedLinear(g, x, 'gate', from, width), ['T', width])
        return g.build()
      }
      const weights = (name: string): Float32Array => noise(2 * width * (name.endsWith('bias') ? 1 : from), name.length)
      const run = (graph: Graph, type: FloatType): ReturnType<typeof runGraph> =>
        runGraph(
          environment,
          graph,
          weights,
          { x: noiseTensor([rows, from], 1, type) },
          { y: { dims: [rows, width], type } },
        )
      const fused = build(cuda(precision))
      expect(nodesOf(fused, 'BiasSplitGelu')).toBe(1)
      const { y } = await run(withPortableOperators(fused, precision), precision)
      expect(relativeError(y, (await run(build(PORTABLE), 'float32')).y)).toBeLessThan(tolerance)
    })
  }
})

/** How many nodes of an operator a graph has. */
function nodesOf(graph: Graph, operator: string): number {
  let count = 0
  edited(graph, (model) => (count = model.graph?.node.filter(({ opType }) => opType === operator).length ?? 0))
  return count
}
