import { join } from 'node:path'
import { z } from 'zod'
import { TEXT_ENCODER_NAMES } from '../../../src/engine/graph/text-encoder.js'
import type { AdapterSet } from '../../../src/engine/networks/adapter-set.js'
import type { BaseModel } from '../../../src/engine/networks/base-model.js'
import { nativeOf } from '../../../src/engine/pipeline/local-tensor.js'
import type { ParityContext, ParityKind } from '../context.js'
import { measure, toleranceSchema, type Measurement } from '../measure.js'
import { copyTensor, familyModel, modelHost, withNative } from '../model.js'
import { trunkInputs } from './unet.js'

/** LoRAs as a case names them: files of one entry hold the same weights in different spellings. */
export const lorasSchema = z.array(z.looseObject({ files: z.array(z.string()).min(1), scale: z.number() }))
export type Loras = z.infer<typeof lorasSchema>

/** Runs a task for every spelling of a case's LoRAs: the first of each entry together, then the second, and so on. */
export async function forEachSpelling(
  context: ParityContext,
  model: BaseModel,
  loras: Loras,
  task: (adapters: AdapterSet, spelling: string) => Promise<void>,
): Promise<void> {
  const spellings = Math.max(...loras.map(({ files }) => files.length))
  for (let spelling = 0; spelling < spellings; spelling++) {
    const files = loras.map(({ files: choices }) => choices[spelling % choices.length])
    const uses = files.map((file, index) => ({ path: join(context.family.dir, file), scale: loras[index].scale }))
    const { adapters } = await modelHost(context)
    const lease = await adapters.acquire(model, uses)
    try {
      const set = await lease.value.whole()
      await task(set, files.map((file) => file.replace(/^lora\/|\.safetensors$/g, '')).join('+'))
    } finally {
      lease.end()
      await adapters.forget(model)
    }
  }
}

const unetSchema = z.looseObject({ timestep: z.number(), loras: lorasSchema, tolerance: toleranceSchema })

/** The UNet with LoRAs in every spelling, and the untouched UNet afterwards. */
export const loraUnet: ParityKind = async (context) => {
  const { timestep, loras, tolerance } = unetSchema.parse(context.case)
  const model = await familyModel(context)
  const measurements: Measurement[] = []
  await withNative(async (native, allocate) => {
    const inputs = trunkInputs(context, timestep, native)
    const expected = context.output('sample')
    const noise = allocate(expected.shape)
    await forEachSpelling(context, model, loras, async (adapters, spelling) => {
      await model.predictNoise(inputs, nativeOf(noise), { adapters })
      measurements.push(...measure(`sample (${spelling})`, tolerance, copyTensor(noise), expected))
    })
    await model.predictNoise(inputs, nativeOf(noise))
    const plain = context.output('sample_without_lora')
    measurements.push(...measure('sample_without_lora', tolerance, copyTensor(noise), plain))
  })
  return { measurements }
}

const textSchema = z.looseObject({ component: z.string(), loras: lorasSchema, tolerance: toleranceSchema })

/** A text encoder with LoRAs in every spelling. */
export const loraTextEncoder: ParityKind = async (context) => {
  const { component, loras, tolerance } = textSchema.parse(context.case)
  const model = await familyModel(context)
  const index = component === 'text_encoder_2' ? 1 : 0
  const encoder = model.networks.textEncoders[index]
  const layers = encoder.config.num_hidden_layers
  const ids = context.input('input_ids')
  const [rows, length] = ids.shape as [number, number]
  const matrix = Array.from({ length: rows }, (_, row) => Array.from(ids.data.slice(row * length, (row + 1) * length)))
  const roles: [string, string][] = [
    ['last_hidden_state', TEXT_ENCODER_NAMES.normed(layers)],
    ['pooled', TEXT_ENCODER_NAMES.pooled],
    ['penultimate_hidden_state', TEXT_ENCODER_NAMES.hidden(layers - 1)],
    ['text_embeds', TEXT_ENCODER_NAMES.textEmbeds],
  ]
  const present = roles.filter(([role]) => context.outputs(role).length > 0)
  const measurements: Measurement[] = []
  await forEachSpelling(context, model, loras, async (adapters, spelling) => {
    encoder.useOverlay(adapters.textEncoders[index])
    const { values } = await encoder.run(
      matrix,
      present.map(([, output]) => output),
    )
    present.forEach(([role], at) => {
      const expected = context.output(role)
      const actual = { shape: expected.shape, data: values[at] }
      measurements.push(...measure(`${role} (${spelling})`, tolerance, actual, expected))
    })
  })
  return { measurements }
}
