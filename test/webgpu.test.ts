import { fromBinary } from '@bufbuild/protobuf'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Graph } from '../src/engine/graph/builder.js'
import { ModelProtoSchema } from '../src/engine/graph/onnx_pb.js'
import { buildPatch } from '../src/engine/graph/patch.js'
import { buildResidualSum } from '../src/engine/graph/residual-sum.js'
import { PRECISIONS, typesOf, type GraphTarget } from '../src/engine/graph/target.js'
import { buildTextEncoder } from '../src/engine/graph/text-encoder.js'
import { trunkShapes } from '../src/engine/graph/trunk-shapes.js'
import {
  buildControlNet,
  buildControlNetConditioning,
  buildUnetDecoder,
  buildUnetEncoder,
} from '../src/engine/graph/unet.js'
import { buildUpload } from '../src/engine/graph/upload.js'
import { buildVaeDecoder, buildVaeEncoder } from '../src/engine/graph/vae.js'
import { probeTarget } from '../src/engine/networks/probe-target.js'
import { openEnvironment, type Environment } from '../src/engine/ort/environment.js'
import { openSession } from '../src/engine/ort/session.js'
import { openCheckpoint } from '../src/engine/weights/checkpoint.js'
import { openControlNetComponent } from '../src/engine/weights/controlnet-file.js'
import { openGoldens } from './parity/goldens.js'
import { kinds } from './parity/kinds/index.js'
import { runParity, type CaseResult } from './parity/run.js'
import { findSwiftshader, NO_SWIFTSHADER, useSwiftshader } from './support/swiftshader.js'

const GOLDENS = 'fixtures/goldens'
const swiftshader = findSwiftshader()

/** The goldens that are run here: each kind of network once, and a whole picture. All of them pass, but take minutes. */
const CASES = [
  'sd15/text_encoder/text_encoder-batch1',
  'sd15/unet/unet-b2-tall',
  'sd15/unet/unet-b1-odd-with-residuals',
  'sd15/controlnet/controlnet-a-b1',
  'sd15/vae_encode/vae-encode-wide',
  'sd15/vae_decode/vae-decode-square',
  'sd15/lora_unet/lora-c-locon-unet-0.8',
  'sd15/lora_text_encoder/lora-b-text_encoder-0.8',
  'sd15-inpaint/unet/unet-b1',
]

describe('WebGPU, on a device in software', () => {
  beforeAll(() => {
    if (swiftshader) useSwiftshader(swiftshader)
  })
  beforeEach(({ skip }) => skip(!swiftshader, NO_SWIFTSHADER))

  it('holds the goldens within the tolerances of the CPU', { timeout: 300_000 }, async () => {
    const goldens = openGoldens(GOLDENS)
    const results: CaseResult[] = []
    try {
      const options = { goldens, only: CASES, kinds, device: { provider: 'webgpu' } } as const
      for await (const result of runParity(options)) results.push(result)
    } finally {
      goldens.close()
    }
    expect(results.filter(({ status }) => status !== 'passed')).toEqual([])
    expect(results.map(({ name }) => name).sort()).toEqual(CASES.toSorted())
  })
})

describe('the graphs on WebGPU', () => {
  let directory: string
  let environment: Environment
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-webgpu-'))
    if (!swiftshader) return
    useSwiftshader(swiftshader)
    environment = openEnvironment({ threads: 1, provider: 'webgpu' })
  })
  afterAll(() => {
    if (swiftshader) environment.release()
    rmSync(directory, { recursive: true })
  })
  beforeEach(({ skip }) => skip(!swiftshader, NO_SWIFTSHADER))

  /** What the runtime copies between the host and the device inside of a graph. */
  async function copiesIn(graph: Graph): Promise<string[]> {
    const path = join(directory, 'optimized.onnx')
    const session = await openSession(environment, graph.model, { ...graph, optimizedModelPath: path })
    session.release()
    await environment.settle()
    const { graph: optimized } = fromBinary(ModelProtoSchema, readFileSync(path))
    return (optimized?.node ?? []).flatMap(({ opType = '', input }) =>
      opType.startsWith('Memcpy') ? [`${opType} ${input[0].replace(/#.*/, '')}`] : [],
    )
  }

  const families = ['sd15', 'sdxl'] as const
  const cases = families.flatMap((family) => PRECISIONS.map((precision) => [family, precision] as const))

  it.each(cases)('compute nothing of %s in %s on the host but its sinusoids', async (family, precision) => {
    const target: GraphTarget = { precision, operators: 'webgpu', attention: 'fused' }
    const model = join(GOLDENS, family, 'model')
    const { unet, vae, textEncoders } = openCheckpoint(model)
    const { config: controlNet } = openControlNetComponent(join(GOLDENS, family, 'controlnet-a'), openCheckpoint(model))
    for (const graph of [
      buildUnetDecoder(unet.config, target),
      buildResidualSum(trunkShapes(unet.config), target),
      buildControlNetConditioning(controlNet, target),
      buildVaeDecoder(vae.config, target),
      buildVaeEncoder(vae.config, target),
      ...textEncoders.map(({ config }) => buildTextEncoder(config, target)),
      buildPatch(['float32', 'float16'], typesOf(target).weights),
      buildUpload('float32', typesOf(target).weights),
    ]) {
      expect(await copiesIn(graph)).toEqual([])
    }
    // The timestep's, and SDXL's sizes.
    const sinusoids = new Array<string>(family === 'sdxl' ? 2 : 1).fill('MemcpyFromHost Concat')
    expect(await copiesIn(buildUnetEncoder(unet.config, target))).toEqual(sinusoids)
    expect(await copiesIn(buildControlNet(controlNet, target))).toEqual(sinusoids)
  })

  it('are built with attention that the device computes right', async () => {
    const target = await probeTarget(environment)
    expect(target).toMatchObject({ operators: 'webgpu', attention: 'plain' })
  })
})
