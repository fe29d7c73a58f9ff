import { describe, expect, it } from 'vitest'
import { inferShapes } from '../../bench/graph-shapes.js'
import { countMultiplyAdds, unetMultiplyAdds } from '../../bench/multiply-adds.js'
import { publishedModel } from '../../bench/published-configs.js'
import { createGraphBuilder } from '../../src/engine/graph/builder.js'
import { PORTABLE, type GraphTarget } from '../../src/engine/graph/target.js'
import { buildTextEncoder } from '../../src/engine/graph/text-encoder.js'
import { buildUnetDecoder, buildUnetEncoder } from '../../src/engine/graph/unet.js'
import { buildVaeDecoder } from '../../src/engine/graph/vae.js'

const PLAIN: GraphTarget = { ...PORTABLE, attention: 'plain' }

/** Of a batch of one at a size in latents. */
const sizesAt = (side: number) => ({
  ...{ N: 1, S: 77, h: side, w: side },
  ...Object.fromEntries([1, 2, 4, 8].flatMap((by) => ['h', 'w'].map((axis) => [`${axis}/${by}`, side / by]))),
})

/** Both graphs of a UNet, by operator. */
function unetCounts(family: 'sd15' | 'sdxl', side: number, target: GraphTarget = PORTABLE) {
  const { unet } = publishedModel(family)
  const counts = [buildUnetEncoder(unet, target), buildUnetDecoder(unet, target)].map((graph) =>
    countMultiplyAdds(graph, sizesAt(side)),
  )
  const sum = (name: keyof (typeof counts)[number]): number => counts[0][name] + counts[1][name]
  return { layers: sum('Conv') + sum('Gemm'), fused: sum('MultiHeadAttention'), plain: sum('MatMul') }
}

describe('multiply-adds', () => {
  it('of each operator follow from its shapes', () => {
    const g = createGraphBuilder('counted')
    const image = g.input('image', 'float32', ['N', 3, 'h', 'w'])
    const conv = g.node('Conv', [image, g.weight('conv', [8, 3, 3, 3])], {
      attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [0, 0, 1, 1] },
    })
    // (2, 8, 5, 3) to (30, 8), and from there by both layouts of a second matrix.
    const tokens = g.node('Reshape', [
      g.node('Transpose', [conv], { attributes: { perm: [0, 2, 3, 1] } }),
      g.ints([-1, 8]),
    ])
    const wide = g.node('Gemm', [tokens, g.weight('wide', [16, 8])], { attributes: { transB: 1 } })
    const narrow = g.node('Gemm', [wide, g.weight('narrow', [16, 4])])
    const sequences = g.node('Reshape', [narrow, g.ints([2, -1, 4])])
    const prompt = g.input('prompt', 'float32', ['N', 'S', 4])
    const attended = g.node('MultiHeadAttention', [sequences, prompt, prompt], {
      attributes: { num_heads: 2 },
      domain: 'com.microsoft',
    })
    g.output('y', g.node('MatMul', [attended, g.weight('shared', [4, 6])]), ['N', 'T', 6])
    expect(countMultiplyAdds(g.build(), { N: 2, h: 10, w: 6, S: 7 })).toEqual({
      // 2 rows of 5 x 3 pixels and 8 channels, each from 3 x 3 pixels of 3 channels.
      Conv: 2 * 5 * 3 * 8 * 27,
      Gemm: 30 * 8 * 16 + 30 * 16 * 4,
      // 2 rows of 15 queries and 7 keys, of 4 channels for the scores and 4 for the sums.
      MultiHeadAttention: 2 * 15 * 7 * (4 + 4),
      MatMul: 30 * 4 * 6,
    })
  })

  /**
   * What thop counts for Stable Diffusion v1.4 at 512x512 (github.com/Nota-NetsPresso/BK-SDM, issue 53). It leaves out
   * attention, which is no module of its own, and the decoder's post_quant_conv, and has 4 for each element of a layer norm.
   */
  describe('are those that were published', () => {
    it('for the UNet', () => {
      // Elements of a row that a transformer block's three norms see: 5 blocks at each of three levels, and the mid block.
      const normed = 3 * (5 * (64 * 64 * 320 + 32 * 32 * 640 + 16 * 16 * 1280) + 8 * 8 * 1280)
      expect(unetCounts('sd15', 64).layers + 4 * normed).toBe(338_749_194_240)
    })

    it('for the text encoder', () => {
      const graph = buildTextEncoder(publishedModel('sd15').textEncoders.text_encoder)
      const normed = 25 * 77 * 768
      expect(countMultiplyAdds(graph, { N: 1 }).Gemm + 4 * normed).toBe(6_545_882_112)
    })

    it('for the decoder of the autoencoder', () => {
      const { Conv, Gemm } = countMultiplyAdds(buildVaeDecoder(publishedModel('sd15').vae), sizesAt(64))
      expect(Conv + Gemm - 64 * 64 * 4 * 4).toBe(1_240_079_532_032)
    })

    // 5,979,098.32 million floating-point operations (huggingface.co/datasets/diffusers/benchmarks), with the norms.
    it('for the UNet of SDXL, but for its norms', () => {
      const share = (2 * unetCounts('sdxl', 128).layers) / 5_979_098.32e6
      expect(share).toBeLessThan(1)
      expect(share).toBeGreaterThan(0.999)
    })
  })

  it('are as many where attention is written out', () => {
    const [fused, plain] = [unetCounts('sd15', 64), unetCounts('sd15', 64, PLAIN)]
    expect(plain).toEqual({ layers: fused.layers, fused: 0, plain: fused.fused })
    expect(fused.fused).toBeGreaterThan(6e10)
  })

  it('of a pass are those of both graphs and of all rows, at sizes that are no multiple of eight, too', () => {
    const { unet } = publishedModel('sd15')
    const size = { rows: 1, height: 64, width: 64, tokens: 77 }
    const { layers, fused } = unetCounts('sd15', 64)
    expect(unetMultiplyAdds(unet, size)).toBe(layers + fused)
    // The time embedding is computed once for all rows.
    const embedding = 320 * 1280 + 1280 * 1280
    expect(unetMultiplyAdds(unet, { ...size, rows: 2 })).toBe(2 * (layers + fused) - embedding)
    const odd = unetMultiplyAdds(unet, { ...size, height: 63, width: 61 })
    expect(odd).toBeGreaterThan(0.9 * unetMultiplyAdds(unet, size))
    expect(odd).toBeLessThan(unetMultiplyAdds(unet, size))
  })

  it('are refused where a size or an operator is not known', () => {
    const g = createGraphBuilder('unknown')
    g.output('y', g.node('Erf', [g.input('x', 'float32', ['T'])]), ['T'])
    const graph = g.build()
    expect(() => inferShapes(graph, {})).toThrow('The input x has the dim T, which no size is given for.')
    expect(() => inferShapes(graph, { T: 3 })).toThrow('The shapes of the operator Erf are not known.')
  })
})
