import { residualDims } from '../graph/trunk-shapes.js'
import { allocateNative, type NativeMemory } from '../memory/native-memory.js'
import type { NativeHandle } from '../ort/native.js'
import { tensorBytes, type NativeTensor } from '../tensor.js'
import { isPositiveOnly, residualScales, type ControlStrength } from '../pipeline/control-strength.js'
import type { ControlNet } from './controlnet.js'
import type { TrunkInputs } from './unet.js'
import type { ScaledResiduals } from './residual-sum.js'

/** Rows `begin` and later of a tensor, as a view. */
export function rowsFrom({ type, dims, address }: NativeTensor, begin: number): NativeTensor {
  if (begin === 0) return { type, dims, address }
  const [rows, ...rest] = dims
  return { type, dims: [rows - begin, ...rest], address: address + BigInt(begin * tensorBytes(type, rest)) }
}

/** Rows `begin` and later of every input of a pass. */
export function inputRowsFrom(inputs: TrunkInputs, begin: number): TrunkInputs {
  const { timestep, sample, encoderHiddenStates, textEmbeds, timeIds } = inputs
  return {
    timestep,
    sample: rowsFrom(sample, begin),
    encoderHiddenStates: rowsFrom(encoderHiddenStates, begin),
    ...(textEmbeds && { textEmbeds: rowsFrom(textEmbeds, begin) }),
    ...(timeIds && { timeIds: rowsFrom(timeIds, begin) }),
  }
}

/** A ControlNet of this process that takes part in a pass. */
export interface ControlPass extends ControlStrength {
  readonly network: ControlNet
  /** Its embedded picture, (1, C, h, w): the same for every row of the batch. */
  readonly conditioning: NativeHandle
}

/** The residuals of a pass, to be added by the UNet. */
export interface PassResiduals {
  readonly scaled: readonly ScaledResiduals[]
  readonly runtimeMs: number
  release(): void
}

/**
 * Runs the ControlNets of a pass one after the other, into memory of their own.
 * @param positiveRow the first row that is not of the negative half of the guidance
 */
export async function controlResiduals(
  inputs: TrunkInputs,
  passes: readonly ControlPass[],
  positiveRow = 0,
  signal?: AbortSignal,
): Promise<PassResiduals> {
  const held: NativeMemory[] = []
  const scaled: ScaledResiduals[] = []
  let runtimeMs = 0
  try {
    for (const { network, conditioning, ...strength } of passes) {
      const dims = residualDims(network.shapes, inputs.sample.dims)
      const residuals = dims.map((each): NativeTensor => {
        const memory = allocateNative(tensorBytes('float32', each))
        held.push(memory)
        return { type: 'float32', dims: each, address: memory.address }
      })
      // The negative half keeps its zeros.
      const begin = isPositiveOnly(strength) ? positiveRow : 0
      const out = residuals.map((residual) => rowsFrom(residual, begin))
      runtimeMs += (await network.run(inputRowsFrom(inputs, begin), conditioning, out, signal)).runtimeMs
      scaled.push(scaledResiduals(residuals, residualScales(strength, residuals.length)))
    }
  } catch (error) {
    held.forEach((each) => each.release())
    throw error
  }
  return { scaled, runtimeMs, release: () => held.forEach((each) => each.release()) }
}

/** Residuals in their order, as the UNet takes them. */
export function scaledResiduals(residuals: readonly NativeTensor[], scales: readonly number[]): ScaledResiduals {
  return { skips: residuals.slice(0, -1), mid: residuals[residuals.length - 1], scales }
}
