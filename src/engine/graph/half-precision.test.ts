import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  noiseTensor,
  relativeError,
  roundedToHalf,
  runGraph,
  weightsOf,
  type GraphTensor,
  type OutputShape,
} from '../../../test/support/run-graph.js'
import { openEnvironment, type Environment } from '../ort/environment.js'
import {
  readControlNetConfig,
  readTextEncoderConfig,
  readUnetConfig,
  readVaeConfig,
  type UnetConfig,
} from '../weights/config.js'
import { openSafetensors } from '../weights/safetensors.js'
import { buildPatch, PATCH_NAMES } from './patch.js'
import { buildResidualSum, RESIDUAL_NAMES } from './residual-sum.js'
import { PORTABLE, typesOf, weightType, type FloatType, type GraphTarget } from './target.js'
import { buildTextEncoder, TEXT_ENCODER_NAMES } from './text-encoder.js'
import { residualDims, trunkShapes } from './trunk-shapes.js'
import { buildControlNet, buildControlNetConditioning, buildUnetDecoder, buildUnetEncoder, UNET_NAMES } from './unet.js'
import { buildVaeDecoder, buildVaeEncoder, VAE_NAMES } from './vae.js'

const goldens = fileURLToPath(new URL('../../../fixtures/goldens/', import.meta.url))
const HALF: GraphTarget = { precision: 'float16', operators: 'portable', attention: 'fused' }
const MIXED: GraphTarget = { ...HALF, precision: 'mixed' }
const WEIGHTS = 'diffusion_pytorch_model.safetensors'

/**
 * In parts of the largest value of a result. float16 keeps 11 bits: a rounding error is at most 1/2048 of a value, and those
 * of some tens of layers add up.
 */
const TOLERANCE = 0.01

const BATCH = 2
const SIZE = 8

let environment: Environment
beforeAll(() => {
  environment = openEnvironment({ threads: 2 })
})
afterAll(() => environment.release())

function trunkInputs(config: UnetConfig): Record<string, GraphTensor> {
  const perId = config.addition_time_embed_dim ?? 0
  const joined = config.projection_class_embeddings_input_dim ?? 0
  return {
    [UNET_NAMES.sample]: noiseTensor([BATCH, config.in_channels, SIZE, SIZE], 1),
    [UNET_NAMES.timestep]: { dims: [1], values: [981] },
    [UNET_NAMES.encoderHiddenStates]: noiseTensor([BATCH, 7, config.cross_attention_dim[0]], 2),
    ...(config.addition_embed_type === 'text_time' && {
      [UNET_NAMES.textEmbeds]: noiseTensor([BATCH, joined - 6 * perId], 3),
      [UNET_NAMES.timeIds]: { dims: [BATCH, 6], values: [1024, 1024, 0, 0, 1024, 1024, 512, 768, 8, 16, 512, 768] },
    }),
  }
}

/** The shapes of what an encoder hands over, or of a ControlNet's residuals. */
function skipShapes(config: UnetConfig, type: FloatType): Record<string, OutputShape> {
  const shapes = trunkShapes(config)
  const all = residualDims(shapes, [BATCH, 0, SIZE, SIZE])
  const names = [...shapes.skips.map((_, index) => UNET_NAMES.skip(index)), UNET_NAMES.mid]
  return Object.fromEntries(names.map((name, index) => [name, { dims: all[index], type }]))
}

/** The UNet of a family, with a ControlNet's residuals where one is named, as the networks run it. */
async function predictNoise(
  family: string,
  target: GraphTarget,
  controlNet?: string,
  readWeights = weightsOf,
): Promise<GraphTensor> {
  const directory = join(goldens, family, 'model/unet')
  const config = readUnetConfig(join(directory, 'config.json'))
  const weights = readWeights(join(directory, WEIGHTS))
  const inputs = trunkInputs(config)
  const { values: type } = typesOf(target)
  const encoded = await runGraph(environment, buildUnetEncoder(config, target), weights, inputs, {
    ...skipShapes(config, type),
    [UNET_NAMES.activatedTime]: { dims: [BATCH, trunkShapes(config).timeWidth], type },
  })
  const { [UNET_NAMES.activatedTime]: time, ...handedOver } = encoded
  const skips = controlNet
    ? await addResiduals(config, target, join(goldens, family, controlNet), handedOver, readWeights)
    : handedOver
  const states = { [UNET_NAMES.encoderHiddenStates]: inputs[UNET_NAMES.encoderHiddenStates] }
  const decoderInputs = { ...skips, ...states, [UNET_NAMES.activatedTime]: time }
  const decoded = await runGraph(environment, buildUnetDecoder(config, target), weights, decoderInputs, {
    [UNET_NAMES.noise]: { dims: [BATCH, config.out_channels, SIZE, SIZE] },
  })
  return decoded[UNET_NAMES.noise]
}

async function addResiduals(
  unet: UnetConfig,
  target: GraphTarget,
  directory: string,
  skips: Record<string, GraphTensor>,
  readWeights: typeof weightsOf,
): Promise<Record<string, GraphTensor>> {
  const config = readControlNetConfig(join(directory, 'config.json'))
  const weights = readWeights(join(directory, WEIGHTS))
  const image = { [UNET_NAMES.controlImage]: noiseTensor([1, 3, 8 * SIZE, 8 * SIZE], 5) }
  const dims = [1, config.block_out_channels[0], SIZE, SIZE]
  const embedded = await runGraph(environment, buildControlNetConditioning(config, target), weights, image, {
    [UNET_NAMES.conditioning]: { dims, type: typesOf(target).values },
  })
  const inputs = { ...trunkInputs(unet), ...embedded }
  const residuals = await runGraph(
    environment,
    buildControlNet(config, target),
    weights,
    inputs,
    skipShapes(unet, 'float32'),
  )
  const count = Object.keys(skips).length
  const named = Object.entries(residuals).map(
    ([name, residual]) => [name.replace('skip', 'residual'), residual] as const,
  )
  const { mid, ...rest } = Object.fromEntries(named)
  const sum = buildResidualSum(trunkShapes(unet), target)
  const scales = { dims: [count], values: new Array<number>(count).fill(0.7) }
  const added = await runGraph(
    environment,
    sum,
    () => [],
    { ...skips, ...rest, [RESIDUAL_NAMES.midResidual]: mid, [RESIDUAL_NAMES.scales]: scales },
    Object.fromEntries(Object.entries(skips).map(([name, { dims, type }]) => [`out.${name}`, { dims, type }])),
  )
  return Object.fromEntries(Object.entries(added).map(([name, value]) => [name.slice('out.'.length), value]))
}

/** Reads a file's weights as a device keeps them, rounded. */
function weightsRoundedFor(target: GraphTarget): typeof weightsOf {
  return (path) => {
    const file = openSafetensors(path)
    const types = new Map([...file.tensors.values()].map(({ name, shape }) => [name, weightType(target, shape)]))
    file.close()
    const weights = weightsOf(path)
    return (name) => (types.get(name) === 'float16' ? roundedToHalf(weights(name)) : weights(name))
  }
}

describe('graphs in half precision', () => {
  for (const family of ['sd21', 'sdxl']) {
    it(`predict the noise that the float32 UNet of ${family} predicts`, async () => {
      const [half, single] = [await predictNoise(family, HALF), await predictNoise(family, PORTABLE)]
      expect(relativeError(half, single)).toBeLessThan(TOLERANCE)
      expect(relativeError(half, single)).toBeGreaterThan(0)
    })
  }

  it('add the residuals that the float32 ControlNet gives', async () => {
    const [half, single] = [
      await predictNoise('sd15', HALF, 'controlnet-a'),
      await predictNoise('sd15', PORTABLE, 'controlnet-a'),
    ]
    expect(relativeError(half, single)).toBeLessThan(TOLERANCE)
    expect(relativeError(half, await predictNoise('sd15', PORTABLE))).toBeGreaterThan(10 * TOLERANCE)
  })

  it('sum in float32 what they read in half precision, where precision is mixed', async () => {
    const rounded = await predictNoise('sd15', PORTABLE, 'controlnet-a', weightsRoundedFor(MIXED))
    const mixed = await predictNoise('sd15', MIXED, 'controlnet-a')
    expect(relativeError(mixed, rounded)).toBeLessThan(1e-5)
    expect(relativeError(mixed, await predictNoise('sd15', PORTABLE, 'controlnet-a'))).toBeGreaterThan(1e-4)
  })

  it('decode and encode pictures as the float32 autoencoder of sd21 does', async () => {
    const directory = join(goldens, 'sd21/model/vae')
    const config = readVaeConfig(join(directory, 'config.json'))
    const weights = weightsOf(join(directory, WEIGHTS))
    const latents = { [VAE_NAMES.latents]: noiseTensor([1, config.latent_channels, SIZE, SIZE], 6) }
    const picture = { [VAE_NAMES.image]: noiseTensor([1, 3, 8 * SIZE, 8 * SIZE], 7) }
    const images = { [VAE_NAMES.image]: { dims: [1, 3, 8 * SIZE, 8 * SIZE] } }
    const moments = { [VAE_NAMES.moments]: { dims: [1, 2 * config.latent_channels, SIZE, SIZE] } }
    const run = async (target: GraphTarget): Promise<GraphTensor[]> => [
      (await runGraph(environment, buildVaeDecoder(config, target), weights, latents, images))[VAE_NAMES.image],
      (await runGraph(environment, buildVaeEncoder(config, target), weights, picture, moments))[VAE_NAMES.moments],
    ]
    const [half, single] = [await run(HALF), await run(PORTABLE)]
    half.forEach((each, index) => expect(relativeError(each, single[index])).toBeLessThan(TOLERANCE))
  })

  for (const encoder of ['sd15/model/text_encoder', 'sd21/model/text_encoder', 'sdxl/model/text_encoder_2']) {
    it(`encode prompts as ${encoder} does in float32`, async () => {
      const directory = join(goldens, encoder)
      const config = readTextEncoderConfig(join(directory, 'config.json'))
      const weights = weightsOf(join(directory, 'model.safetensors'))
      const { max_position_embeddings: length, hidden_size: width, num_hidden_layers: last } = config
      const inputs: Record<string, GraphTensor> = {
        [TEXT_ENCODER_NAMES.inputIds]: {
          type: 'int64',
          dims: [BATCH, length],
          values: Array.from({ length: BATCH * length }, (_, i) => (i * 7) % config.vocab_size),
        },
        [TEXT_ENCODER_NAMES.pooledPosition]: { type: 'int64', dims: [BATCH, 1], values: [5, 11] },
      }
      const outputs = {
        [TEXT_ENCODER_NAMES.hidden(last - 1)]: { dims: [BATCH, length, width] },
        [TEXT_ENCODER_NAMES.normed(last)]: { dims: [BATCH, length, width] },
        [TEXT_ENCODER_NAMES.pooled]: { dims: [BATCH, width] },
        ...(config.projection_dim !== null && {
          [TEXT_ENCODER_NAMES.textEmbeds]: { dims: [BATCH, config.projection_dim] },
        }),
      }
      const half = await runGraph(environment, buildTextEncoder(config, HALF), weights, inputs, outputs)
      const single = await runGraph(environment, buildTextEncoder(config), weights, inputs, outputs)
      for (const name of Object.keys(outputs)) {
        expect(relativeError(half[name], single[name]), name).toBeLessThan(TOLERANCE)
      }
    })
  }

  it('patch a weight by the float32 sum, rounded once', async () => {
    const [rows, columns, rank] = [24, 40, 4]
    const half = (dims: readonly number[], seed: number): GraphTensor => {
      const { values } = noiseTensor(dims, seed)
      return { dims, type: 'float16', values: roundedToHalf(values) }
    }
    const inputs = {
      [PATCH_NAMES.up(0)]: half([rows, rank], 1),
      [PATCH_NAMES.down(0)]: half([rank, columns], 2),
      [PATCH_NAMES.factor(0)]: { dims: [1], values: [0.3] },
    }
    const weight = half([rows, columns], 3)
    const patch = async (type: FloatType): Promise<Record<string, GraphTensor>> => {
      const given = { ...inputs, [PATCH_NAMES.weight]: { ...weight, type } }
      const outputs = { [PATCH_NAMES.patched]: { dims: weight.dims, type }, [PATCH_NAMES.check]: { dims: [1] } }
      return runGraph(environment, buildPatch(['float16'], type), () => [], given, outputs)
    }
    const [inSingle, inHalf] = [await patch('float32'), await patch('float16')]
    expect(inHalf[PATCH_NAMES.patched].values).toEqual(roundedToHalf(inSingle[PATCH_NAMES.patched].values))
    expect(inHalf[PATCH_NAMES.check].values[0]).toBe(0)
  })
})
