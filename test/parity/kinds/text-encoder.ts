import { z } from 'zod'
import { TEXT_ENCODER_NAMES as NAMES } from '../../../src/engine/graph/text-encoder.js'
import type { ParityKind } from '../context.js'
import { measure, toleranceSchema, type Measurement, type Tensor } from '../measure.js'
import { familyModel } from '../model.js'

const caseSchema = z.looseObject({ component: z.string(), tolerance: toleranceSchema })

/** Every hidden state, the final one with its norm, the pooled vector and the projection. */
export const textEncoder: ParityKind = async (context) => {
  const { component, tolerance } = caseSchema.parse(context.case)
  const model = await familyModel(context)
  const encoder = model.networks.textEncoders[component === 'text_encoder_2' ? 1 : 0]
  const layers = encoder.config.num_hidden_layers
  const width = encoder.config.hidden_size
  const ids = context.input('input_ids')
  const [rows, length] = ids.shape as [number, number]
  const matrix = Array.from({ length: rows }, (_, row) => Array.from(ids.data.slice(row * length, (row + 1) * length)))

  const expected = new Map<string, Tensor>()
  context.outputs('hidden_states').forEach((tensor, layer) => expected.set(NAMES.hidden(layer), tensor))
  expected.set(NAMES.normed(layers), context.output('last_hidden_state'))
  expected.set(NAMES.pooled, context.output('pooled'))
  context.outputs('text_embeds').forEach((tensor) => expected.set(NAMES.textEmbeds, tensor))

  const { values } = await encoder.run(matrix, [...expected.keys()])
  const measurements: Measurement[] = []
  for (const [index, [name, tensor]] of [...expected].entries()) {
    const data = values[index]
    const shape =
      name === NAMES.textEmbeds
        ? [rows, data.length / rows]
        : name === NAMES.pooled
          ? [rows, width]
          : [rows, length, width]
    measurements.push(...measure(name, tolerance, { shape, data }, tensor))
  }
  return { measurements }
}
