import { fromBinary } from '@bufbuild/protobuf'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { noiseTensor, relativeError, runGraph, weightsOf, type GraphTensor } from '../../../test/support/run-graph.js'
import { openEnvironment, type Environment } from '../ort/environment.js'
import { readTextEncoderConfig, readUnetConfig } from '../weights/config.js'
import { attention, HEADS_AT_ONCE } from './attention.js'
import { createGraphBuilder, type Graph, type Value } from './builder.js'
import { ModelProtoSchema } from './onnx_pb.js'
import { PORTABLE, type GraphTarget } from './target.js'
import { buildTextEncoder, TEXT_ENCODER_NAMES } from './text-encoder.js'
import { residualDims, trunkShapes } from './trunk-shapes.js'
import { buildUnetDecoder, UNET_NAMES } from './unet.js'

const goldens = fileURLToPath(new URL('../../../fixtures/goldens/', import.meta.url))
const PLAIN: GraphTarget = { ...PORTABLE, attention: 'plain' }
/** Rounding of float32 over some layers, in parts of the largest value. */
const TOLERANCE = 1e-5

let environment: Environment
beforeAll(() => {
  environment = openEnvironment({ threads: 2 })
})
afterAll(() => environment.release())

describe('plain attention', () => {
  it('leaves nothing to the fused operator', () => {
    const config = readTextEncoderConfig(join(goldens, 'sd15/model/text_encoder/config.json'))
    const { graph } = fromBinary(ModelProtoSchema, buildTextEncoder(config, PLAIN).model)
    expect(graph?.node.filter(({ domain }) => domain !== '').map(({ opType }) => opType)).not.toContain(
      'MultiHeadAttention',
    )
    expect(graph?.node.filter(({ opType }) => opType === 'Softmax')).toHaveLength(config.num_hidden_layers)
  })

  it('gives what the fused operator gives, also where tokens see only earlier ones', async () => {
    const directory = join(goldens, 'sd15/model/text_encoder')
    const config = readTextEncoderConfig(join(directory, 'config.json'))
    const weights = weightsOf(join(directory, 'model.safetensors'))
    const { max_position_embeddings: length, hidden_size: width, num_hidden_layers: layers, vocab_size: size } = config
    const ids = Array.from({ length: 2 * length }, (_, i) => (i * 7) % size)
    const inputs: Record<string, GraphTensor> = {
      [TEXT_ENCODER_NAMES.inputIds]: { type: 'int64', dims: [2, length], values: ids },
      [TEXT_ENCODER_NAMES.pooledPosition]: { type: 'int64', dims: [2, 1], values: [5, 11] },
    }
    const name = TEXT_ENCODER_NAMES.hidden(layers)
    const run = (target: GraphTarget): ReturnType<typeof runGraph> =>
      runGraph(environment, buildTextEncoder(config, target), weights, inputs, { [name]: { dims: [2, length, width] } })
    expect(relativeError((await run(PLAIN))[name], (await run(PORTABLE))[name])).toBeLessThan(TOLERANCE)
  })

  it('gives what the fused operator gives to other sequences than its own', async () => {
    const directory = join(goldens, 'sd21/model/unet')
    const config = readUnetConfig(join(directory, 'config.json'))
    const weights = weightsOf(join(directory, 'diffusion_pytorch_model.safetensors'))
    const shapes = trunkShapes(config)
    const names = [...shapes.skips.map((_, index) => UNET_NAMES.skip(index)), UNET_NAMES.mid]
    const inputs = {
      ...Object.fromEntries(
        residualDims(shapes, [2, 0, 8, 8]).map((dims, index) => [names[index], noiseTensor(dims, index)]),
      ),
      [UNET_NAMES.activatedTime]: noiseTensor([2, shapes.timeWidth], 50),
      [UNET_NAMES.encoderHiddenStates]: noiseTensor([2, 7, config.cross_attention_dim[0]], 51),
    }
    const outputs = { [UNET_NAMES.noise]: { dims: [2, config.out_channels, 8, 8] } }
    const run = async (target: GraphTarget): Promise<GraphTensor> =>
      (await runGraph(environment, buildUnetDecoder(config, target), weights, inputs, outputs))[UNET_NAMES.noise]
    expect(relativeError(await run(PLAIN), await run(PORTABLE))).toBeLessThan(TOLERANCE)
  })

  it.each([1, 2, 3, 8])('gives it where an image has too many tokens for all of %d heads at once', async (heads) => {
    const [tokens, depth] = [6, 4]
    const channels = heads * depth
    const build = (target: GraphTarget): Graph => {
      const g = createGraphBuilder('attention', target)
      const inputs = ['q', 'k', 'v'].map((name) => g.input(name, 'float32', ['T', channels])) as [Value, Value, Value]
      const sequence = g.ints([2, -1, channels])
      g.output('y', attention(g, inputs, channels, { heads, sequence, wide: true }), ['T', channels])
      return g.build()
    }
    const inputs = Object.fromEntries(
      ['q', 'k', 'v'].map((name, index) => [name, noiseTensor([2 * tokens, channels], index + 1)]),
    )
    const run = async (target: GraphTarget): Promise<GraphTensor> => {
      const shape = { dims: [2 * tokens, channels] }
      return (await runGraph(environment, build(target), () => [], inputs, { y: shape })).y
    }
    expect(relativeError(await run(PLAIN), await run(PORTABLE))).toBeLessThan(TOLERANCE)
    const { graph } = fromBinary(ModelProtoSchema, build(PLAIN).model)
    const groups = Math.ceil(heads / HEADS_AT_ONCE)
    expect(graph?.node.filter(({ opType }) => opType === 'Softmax')).toHaveLength(groups)
  })
})
