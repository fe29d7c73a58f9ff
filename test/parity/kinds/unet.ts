import { z } from 'zod'
import type { TrunkInputs } from '../../../src/engine/networks/unet.js'
import type { ScaledResiduals } from '../../../src/engine/networks/residual-sum.js'
import { nativeOf } from '../../../src/engine/pipeline/local-tensor.js'
import type { NativeTensor } from '../../../src/engine/tensor.js'
import type { ParityContext, ParityKind } from '../context.js'
import { measure, toleranceSchema, type Measurement, type Tensor } from '../measure.js'
import { copyTensor, copyValue, familyModel, modelHost, withNative } from '../model.js'

const caseSchema = z.looseObject({ timestep: z.number(), tolerance: toleranceSchema })

/** One pass through the UNet's encoder and decoder, with what the two hand over where the case has it. */
export const unet: ParityKind = async (context) => {
  const { timestep, tolerance } = caseSchema.parse(context.case)
  const { networks } = await familyModel(context)
  const { graphs } = await modelHost(context)
  return withNative(async (native, allocate) => {
    const inputs = trunkInputs(context, timestep, native)
    const expected = context.output('sample')
    const noise = allocate(expected.shape)

    const encoded = await networks.unet.encode(inputs)
    const measurements: Measurement[] = []
    // A device's own memory cannot be looked into; what is wrong with these shows in the sample.
    const visible = !graphs.environment.provider.hasOwnMemory
    const handedOver = (role: string): Tensor[] => (visible ? context.outputs(role) : [])
    handedOver('down_block_skips').forEach((skip, index) => {
      measurements.push(...measure(`skip.${index}`, tolerance, copyValue(encoded.skips[index]), skip))
    })
    handedOver('mid_block').forEach((mid) => {
      measurements.push(...measure('mid', tolerance, copyValue(encoded.mid), mid))
    })

    await networks.unet.decode(inputs, nativeOf(noise), residuals(context, native))
    measurements.push(...measure('sample', tolerance, copyTensor(noise), expected))
    return { measurements }
  })
}

/** The inputs that the UNet and ControlNet cases have in common. */
export function trunkInputs(
  context: ParityContext,
  timestep: number,
  native: (tensor: Tensor) => NativeTensor,
): TrunkInputs {
  const [textEmbeds] = context.inputs('text_embeds')
  const [timeIds] = context.inputs('time_ids')
  return {
    sample: native(context.input('sample')),
    timestep,
    encoderHiddenStates: native(context.input('encoder_hidden_states')),
    ...(textEmbeds && { textEmbeds: native(textEmbeds) }),
    ...(timeIds && { timeIds: native(timeIds) }),
  }
}

function residuals(context: ParityContext, native: (tensor: Tensor) => NativeTensor): ScaledResiduals[] {
  const skips = context.inputs('down_block_residuals')
  if (skips.length === 0) return []
  const mid = native(context.input('mid_block_residual'))
  return [{ skips: skips.map(native), mid, scales: new Array<number>(skips.length + 1).fill(1) }]
}
