import type { NativeHandle } from '../ort/native.js'
import { valueDims, valuePointer } from '../ort/value.js'
import { elementCount, tensorBytes, type NativeTensor } from '../tensor.js'
import { allocateNative, type NativeMemory } from '../memory/native-memory.js'
import { viewMemory } from '../memory/libc.js'
import type { ControlNet } from './controlnet.js'
import type { ScaledResiduals, TrunkInputs } from './unet.js'

/** A ControlNet that takes part in a pass. */
export interface ControlPass {
  readonly network: ControlNet
  /** Its embedded picture, (1, C, h, w): the same for every row of the batch. */
  readonly conditioning: NativeHandle
  readonly scale: number
  readonly guessMode: boolean
}

/** The residuals of a pass, to be added by the UNet. */
export interface PassResiduals {
  readonly scaled: readonly ScaledResiduals[]
  readonly runtimeMs: number
  release(): void
}

/** Runs the ControlNets of a pass, one after the other. */
export async function controlResiduals(
  inputs: TrunkInputs,
  passes: readonly ControlPass[],
  signal?: AbortSignal,
): Promise<PassResiduals> {
  const held: { release(): void }[] = []
  const scaled: ScaledResiduals[] = []
  let runtimeMs = 0
  try {
    for (const { network, conditioning, scale, guessMode } of passes) {
      const half = guessMode && inputs.sample.dims[0] % 2 === 0
      const result = await network.run(half ? positiveHalf(inputs) : inputs, conditioning, signal)
      held.push(...result.residuals)
      runtimeMs += result.runtimeMs
      const tensors = result.residuals.map((residual) => (half ? behindZeros(residual, held) : nativeValue(residual)))
      const scales = tensors.map((_, index) => scale * (guessMode ? guessFactor(index, tensors.length) : 1))
      scaled.push({ skips: tensors.slice(0, -1), mid: tensors[tensors.length - 1], scales })
    }
  } catch (error) {
    held.forEach((each) => each.release())
    throw error
  }
  return { scaled, runtimeMs, release: () => held.forEach((each) => each.release()) }
}

/** Guess mode weighs residuals by logspace(-1, 0): a tenth for the first, all of the mid block's (ControlNetModel). */
function guessFactor(index: number, count: number): number {
  return 10 ** (-1 + index / (count - 1))
}

/** The second half of every input, which holds the positive prompts. */
function positiveHalf(inputs: TrunkInputs): TrunkInputs {
  const { sample, encoderHiddenStates, textEmbeds, timeIds } = inputs
  return {
    timestep: inputs.timestep,
    sample: secondHalf(sample),
    encoderHiddenStates: secondHalf(encoderHiddenStates),
    ...(textEmbeds && { textEmbeds: secondHalf(textEmbeds) }),
    ...(timeIds && { timeIds: secondHalf(timeIds) }),
  }
}

function secondHalf({ type, dims, address }: NativeTensor): NativeTensor {
  const half = [dims[0] / 2, ...dims.slice(1)]
  return { type, dims: half, address: address + BigInt(tensorBytes(type, half)) }
}

/** A residual of the positive half as one of both halves: the negative one gets zeros. */
function behindZeros(residual: NativeHandle, held: { release(): void }[]): NativeTensor {
  const value = nativeValue(residual)
  const dims = [2 * value.dims[0], ...value.dims.slice(1)]
  const both: NativeMemory = allocateNative(tensorBytes('float32', dims))
  held.push(both)
  const count = elementCount(value.dims)
  both.floats.set(new Float32Array(viewMemory(value.address, count * 4)), count)
  return { type: 'float32', dims, address: both.address }
}

function nativeValue(value: NativeHandle): NativeTensor {
  return { type: 'float32', dims: valueDims(value), address: valuePointer(value) }
}
