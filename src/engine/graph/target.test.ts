import { fromBinary } from '@bufbuild/protobuf'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import {
  parseVaeConfig,
  readControlNetConfig,
  readTextEncoderConfig,
  readUnetConfig,
  readVaeConfig,
} from '../weights/config.js'
import { DATA_TYPES, type Graph } from './builder.js'
import { ModelProtoSchema, type GraphProto } from './onnx_pb.js'
import { buildPatch } from './patch.js'
import { buildResidualSum } from './residual-sum.js'
import { PORTABLE, type GraphTarget } from './target.js'
import { buildTextEncoder } from './text-encoder.js'
import { trunkShapes } from './trunk-shapes.js'
import { buildControlNet, buildControlNetConditioning, buildUnetDecoder, buildUnetEncoder } from './unet.js'
import { buildVaeDecoder, buildVaeEncoder, vaePrecision } from './vae.js'

const goldens = fileURLToPath(new URL('../../../fixtures/goldens/', import.meta.url))
const config = (path: string): string => join(goldens, path, 'config.json')
const HALF: GraphTarget = { precision: 'float16', operators: 'portable', attention: 'fused' }
const MIXED: GraphTarget = { ...HALF, precision: 'mixed' }

const unet = readUnetConfig(config('sd15/model/unet'))
const xlUnet = readUnetConfig(config('sdxl/model/unet'))
const controlNet = readControlNetConfig(config('sd15/controlnet-a'))
const vae = readVaeConfig(config('sd15/model/vae'))
const text = readTextEncoderConfig(config('sd15/model/text_encoder'))
const skips = trunkShapes(unet).skips.length

function proto({ model }: Graph): GraphProto {
  const { graph } = fromBinary(ModelProtoSchema, model)
  if (!graph) throw new Error('a model without a graph')
  return graph
}

/** Each graph with how many tensors the host gives it and takes from it: each is cast once, and nothing else is. */
const graphs: [name: string, build: (target: GraphTarget) => Graph, casts: number][] = [
  ['UNet encoder', (target) => buildUnetEncoder(unet, target), 3],
  // The prompt's pooled vector and the sizes are joined before they are cast.
  ['UNet encoder of SDXL', (target) => buildUnetEncoder(xlUnet, target), 4],
  ['UNet decoder', (target) => buildUnetDecoder(unet, target), 2],
  ['ControlNet', (target) => buildControlNet(controlNet, target), 3 + skips + 1],
  ['ControlNet conditioning', (target) => buildControlNetConditioning(controlNet, target), 1],
  ['residual sum', (target) => buildResidualSum(trunkShapes(unet), target), skips + 1],
  ['VAE decoder', (target) => buildVaeDecoder(vae, target), 2],
  ['VAE encoder', (target) => buildVaeEncoder(vae, target), 2],
  ['text encoder', (target) => buildTextEncoder(text, target), 2 * (text.num_hidden_layers + 1) + 1],
]

describe('a graph for half precision', () => {
  for (const [name, build, casts] of graphs) {
    it(`casts what the host gives and takes, and nothing else: ${name}`, () => {
      const { node, initializer } = proto(build(HALF))
      expect(node.filter(({ opType }) => opType === 'Cast')).toHaveLength(casts)
      expect(proto(build(PORTABLE)).node.filter(({ opType }) => opType === 'Cast')).toHaveLength(0)
      // What is float32 is computed before a cast: frequencies, and a resize's scales.
      const float32 = initializer.filter(({ dataType }) => dataType === DATA_TYPES.float32)
      expect(float32.length).toBeLessThanOrEqual(2)
    })

    it(`reads weights in half precision, under the same names: ${name}`, () => {
      const graph = build(HALF)
      expect(graph.weights).toEqual(build(PORTABLE).weights.map((weight) => ({ ...weight, type: 'float16' })))
      const types = new Map(proto(graph).input.map((input) => [input.name, elementType(input)]))
      for (const weight of graph.weights) expect(types.get(weight.name), weight.name).toBe(DATA_TYPES.float16)
    })
  }

  it('keeps what one graph leaves for another one in half precision', () => {
    const types = ({ output }: GraphProto) => new Set(output.map(elementType))
    const half = new Set([DATA_TYPES.float16])
    expect(types(proto(buildUnetEncoder(unet, HALF)))).toEqual(half)
    expect(types(proto(buildResidualSum(trunkShapes(unet), HALF)))).toEqual(half)
    expect(types(proto(buildControlNetConditioning(controlNet, HALF)))).toEqual(half)
    expect(types(proto(buildControlNet(controlNet, HALF)))).toEqual(new Set([DATA_TYPES.float32]))
    const { input, output } = proto(buildPatch(['float32'], 'float16'))
    const patch = new Map([...input, ...output].map((each) => [each.name, elementType(each)]))
    expect([patch.get('weight'), patch.get('patched')]).toEqual([DATA_TYPES.float16, DATA_TYPES.float16])
    expect([patch.get('up.0'), patch.get('check')]).toEqual([DATA_TYPES.float32, DATA_TYPES.float32])
  })
})

describe('a graph in mixed precision', () => {
  for (const [name, build] of graphs) {
    it(`widens each kernel and matrix once, and casts nothing else: ${name}`, () => {
      const graph = build(MIXED)
      const { node, input } = proto(graph)
      const types = new Map(input.map((each) => [each.name, elementType(each)]))
      for (const weight of graph.weights) {
        const type = weight.dims.length > 1 ? 'float16' : 'float32'
        expect([weight.type, types.get(weight.name)], weight.name).toEqual([type, DATA_TYPES[type]])
      }
      // The table of tokens is read first, and what was read of it is widened.
      const reads = node.filter(({ opType }) => opType === 'Gather')
      const tables = new Map(reads.map(({ input: [table], output: [rows] }) => [rows, table]))
      const widened = node.flatMap(({ opType, input: [from] }) => (opType === 'Cast' ? [tables.get(from) ?? from] : []))
      const kept = graph.weights.filter(({ type }) => type === 'float16').map((weight) => weight.name)
      expect(widened.sort()).toEqual(kept.sort())
      expect([graph.widensWeights, build(PORTABLE).widensWeights]).toEqual([kept.length > 0, false])
      // The runtime takes the list's order from its end: what comes first is widened last, when it is read.
      const matrices = widened.length - tables.size
      expect(node.slice(0, matrices).every(({ opType }) => opType === 'Cast')).toBe(true)
    })
  }

  it('leaves float32 for another graph', () => {
    const types = ({ output }: GraphProto) => new Set(output.map(elementType))
    expect(types(proto(buildUnetEncoder(unet, MIXED)))).toEqual(new Set([DATA_TYPES.float32]))
  })
})

describe('the precision of an autoencoder', () => {
  const sdxl = readVaeConfig(config('sdxl/model/vae'))
  const published = {
    block_out_channels: [128, 256],
    down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'],
    up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'],
  }
  const precisionOf = (fields: object): string => vaePrecision(parseVaeConfig('vae', { ...published, ...fields }), HALF)

  it('is float32 for SDXL, whose activations exceed float16', () => {
    expect(vaePrecision(sdxl, HALF)).toBe('float32')
    expect(buildVaeDecoder(sdxl, HALF).model).toEqual(buildVaeDecoder(sdxl).model)
    expect(buildVaeEncoder(sdxl, HALF).model).toEqual(buildVaeEncoder(sdxl).model)
    expect(vaePrecision(sdxl, MIXED)).toBe('mixed')
  })

  it("is the target's for SD1.x and SD2.x, whatever the flag says, as in diffusers", () => {
    expect(precisionOf({})).toBe('float16')
    expect(precisionOf({ scaling_factor: 0.18215, force_upcast: true })).toBe('float16')
    expect(vaePrecision(vae, PORTABLE)).toBe('float32')
  })

  it('is float32 for others unless the config says that half precision does', () => {
    expect(precisionOf({ scaling_factor: 0.13025 })).toBe('float32')
    expect(precisionOf({ scaling_factor: 0.13025, force_upcast: null })).toBe('float32')
    expect(precisionOf({ scaling_factor: 0.13025, force_upcast: false })).toBe('float16')
  })
})

function elementType(value: GraphProto['input'][number]): number {
  return value.type?.tensorType?.elemType ?? 0
}
