import { z } from 'zod'
import { nativeOf } from '../../../src/engine/pipeline/local-tensor.js'
import { posteriorOf } from '../../../src/engine/pipeline/posterior.js'
import type { ParityKind } from '../context.js'
import { measure, toleranceSchema } from '../measure.js'
import { copyTensor, familyModel, withNative } from '../model.js'

const caseSchema = z.looseObject({ tolerance: toleranceSchema })

/** Latents to pictures, without a scaling factor. */
export const vaeDecode: ParityKind = async (context) => {
  const { tolerance } = caseSchema.parse(context.case)
  const { networks } = await familyModel(context)
  return withNative(async (native, allocate) => {
    const expected = context.output('image')
    const image = allocate(expected.shape)
    await networks.vae.decode(native(context.input('latents')), nativeOf(image))
    return { measurements: measure('image', tolerance, copyTensor(image), expected) }
  })
}

/** Pictures to the posterior's mean and clamped log variance. */
export const vaeEncode: ParityKind = async (context) => {
  const { tolerance } = caseSchema.parse(context.case)
  const { networks } = await familyModel(context)
  return withNative(async (native, allocate) => {
    const expected = context.output('mean')
    const [count, channels, ...rest] = expected.shape as [number, number, ...number[]]
    const moments = allocate([count, 2 * channels, ...rest])
    await networks.vae.encode(native(context.input('image')), nativeOf(moments))
    const { mean, logvar } = posteriorOf(moments)
    return {
      measurements: [
        ...measure('mean', tolerance, { shape: expected.shape, data: mean }, expected),
        ...measure('logvar', tolerance, { shape: expected.shape, data: logvar }, context.output('logvar')),
      ],
    }
  })
}
