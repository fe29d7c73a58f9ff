import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readControlNetConfig, readTextEncoderConfig, readUnetConfig, readVaeConfig } from '../weights/config.js'
import { openSafetensors } from '../weights/safetensors.js'
import { createGraphBuilder, type Graph } from './builder.js'
import { buildTextEncoder } from './text-encoder.js'
import { buildControlNet, buildControlNetConditioning, buildUnetDecoder, buildUnetEncoder } from './unet.js'
import { buildVaeDecoder, buildVaeEncoder } from './vae.js'

const fixtures = fileURLToPath(new URL('../../../fixtures/', import.meta.url))

/** Components whose graphs together must read exactly what their weights file holds. */
const components: { directory: string; file: string; graphs: (config: string) => Graph[] }[] = [
  ...[
    'goldens/sd15/model',
    'goldens/sd15-inpaint/model',
    'goldens/sd21/model',
    'goldens/sdxl/model',
    'models/tiny-shapes-xl',
  ].map((model) => ({
    directory: `${model}/unet`,
    file: 'diffusion_pytorch_model.safetensors',
    graphs: (path: string) => {
      const config = readUnetConfig(path)
      return [buildUnetEncoder(config), buildUnetDecoder(config)]
    },
  })),
  ...['goldens/sd21/model', 'goldens/sdxl/model', 'models/tiny-shapes-xl'].map((model) => ({
    directory: `${model}/vae`,
    file: 'diffusion_pytorch_model.safetensors',
    graphs: (path: string) => {
      const config = readVaeConfig(path)
      return [buildVaeEncoder(config), buildVaeDecoder(config)]
    },
  })),
  ...['goldens/sd15/model/text_encoder', 'goldens/sdxl/model/text_encoder', 'goldens/sdxl/model/text_encoder_2'].map(
    (directory) => ({
      directory,
      file: 'model.safetensors',
      graphs: (path: string) => [buildTextEncoder(readTextEncoderConfig(path))],
    }),
  ),
  ...['goldens/sd15/controlnet-a', 'goldens/sdxl/controlnet-a', 'models/controlnets/canny'].map((directory) => ({
    directory,
    file: 'diffusion_pytorch_model.safetensors',
    graphs: (path: string) => {
      const config = readControlNetConfig(path)
      return [buildControlNet(config), buildControlNetConditioning(config)]
    },
  })),
]

describe('the graphs of a component', () => {
  for (const { directory, file, graphs } of components) {
    it(`read every tensor of ${directory}, in its shape, and nothing else`, () => {
      const built = graphs(join(fixtures, directory, 'config.json'))
      const read = new Map(built.flatMap(({ weights }) => weights.map(({ name, dims }) => [name, dims.join()])))
      const stored = openSafetensors(join(fixtures, directory, file))
      const expected = new Map([...stored.tensors.values()].map(({ name, shape }) => [name, shape.join()]))
      expected.delete('text_model.embeddings.position_ids')
      stored.close()
      expect(read).toEqual(expected)
    })
  }

  it('hold no weights: the graph of an SD1.5-size UNet is a fraction of a megabyte', () => {
    const config = readUnetConfig(join(fixtures, 'goldens/sd15/model/unet/config.json'))
    const wide = { ...config, block_out_channels: [320, 640, 1280, 1280], cross_attention_dim: [768, 768, 768, 768] }
    expect(buildUnetEncoder(wide).model.byteLength).toBeLessThan(1_000_000)
  })
})

describe('a graph builder', () => {
  it('makes a constant that is used twice once', () => {
    const g = createGraphBuilder('constants')
    expect(g.ints([1, 2])).toBe(g.ints([1, 2]))
    expect(g.ints([1, 2])).not.toBe(g.ints([2, 1]))
    expect(g.floats([1])).not.toBe(g.ints([1]))
  })

  it('refuses to give one value as two outputs', () => {
    const g = createGraphBuilder('outputs')
    const x = g.node('Abs', [g.input('x', 'float32', [1])])
    g.output('a', x, [1])
    expect(() => g.output('b', x, [1])).toThrow('output already')
  })
})
