import { join } from 'node:path'
import { z } from 'zod'
import { openControlNet, type ControlNet } from '../../../src/engine/networks/controlnet.js'
import { createNetworkFiles } from '../../../src/engine/networks/network-files.js'
import { residualDims } from '../../../src/engine/graph/trunk-shapes.js'
import { nativeOf } from '../../../src/engine/pipeline/local-tensor.js'
import { readControlNetConfig } from '../../../src/engine/weights/config.js'
import type { ParityContext, ParityKind } from '../context.js'
import { measure, toleranceSchema, type Tensor } from '../measure.js'
import { CACHE_DIRECTORY, copyTensor, modelHost, withNative } from '../model.js'
import { trunkInputs } from './unet.js'

const caseSchema = z.looseObject({
  component: z.string(),
  timestep: z.number(),
  conditioning_scale: z.number(),
  guess_mode: z.boolean(),
  tolerance: toleranceSchema,
})

/** A ControlNet's residuals, scaled as the pipeline scales them. */
export const controlnet: ParityKind = async (context) => {
  const golden = caseSchema.parse(context.case)
  const network = await openComponent(context, golden.component)
  return withNative(async (native, allocate) => {
    const { conditioning } = await network.embed(native(context.input('cond')))
    const inputs = trunkInputs(context, golden.timestep, native)
    const residuals = residualDims(network.shapes, inputs.sample.dims).map(allocate)
    await network.run(inputs, conditioning, residuals.map(nativeOf))
    const expected = [...context.outputs('down_block_residuals'), context.output('mid_block_residual')]
    const measurements = residuals.flatMap((residual, index) => {
      const scale = golden.conditioning_scale * (golden.guess_mode ? guessFactor(index, residuals.length) : 1)
      return measure(`residual.${index}`, golden.tolerance, scaled(copyTensor(residual), scale), expected[index])
    })
    conditioning.release()
    return { measurements }
  })
}

/** Guess mode weighs residuals by logspace(-1, 0): a tenth for the first, all of the last. */
function guessFactor(index: number, count: number): number {
  return 10 ** (-1 + index / (count - 1))
}

function scaled({ shape, data }: Tensor, scale: number): Tensor {
  return { shape, data: Float32Array.from(data, (value) => value * scale) }
}

/** A ControlNet of the family, opened once. */
export async function openComponent(context: ParityContext, component: string): Promise<ControlNet> {
  const { graphs } = await modelHost(context)
  const directory = join(context.family.dir, component)
  const opened = await context.resource(
    component,
    async () => {
      const files = createNetworkFiles(await graphs.target(), CACHE_DIRECTORY)
      const config = readControlNetConfig(join(directory, 'config.json'))
      const weightsPath = join(directory, 'diffusion_pytorch_model.safetensors')
      const file = await files.open({ weightsPath, names: () => (name) => ({ name }) }, 'controlNet')
      return { files, network: await openControlNet(graphs, config, file) }
    },
    ({ files, network }) => {
      network.release()
      files.close()
    },
  )
  return opened.network
}
