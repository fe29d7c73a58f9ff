import { z } from 'zod'
import { createTorchCpuRandom } from '../../../src/engine/sampling/random/torch-cpu.js'
import type { ParityKind } from '../context.js'
import { measure, toleranceSchema } from '../measure.js'

const caseSchema = z.looseObject({
  // Seeds may exceed what a JSON number holds.
  seed_text: z.string(),
  shapes: z.array(z.array(z.number().int())),
  tolerance: toleranceSchema,
})

/** One generator draws the case's shapes in order. */
export const torchRandn: ParityKind = (context) => {
  const golden = caseSchema.parse(context.case)
  const random = createTorchCpuRandom(BigInt(golden.seed_text))
  const expected = context.outputs('draws')
  const measurements = golden.shapes.flatMap((shape, index) => {
    const draw = { shape, data: random.normal(shape.reduce((count, dim) => count * dim, 1)) }
    const wanted = expected[index]
    if (!wanted) throw new Error(`draw ${index} has no expected tensor`)
    return measure(`draw ${index}`, golden.tolerance, draw, wanted)
  })
  return Promise.resolve({ measurements })
}
