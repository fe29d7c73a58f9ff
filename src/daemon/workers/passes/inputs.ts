import type { TrunkInputs } from '../../../engine/networks/unet.js'
import type { TensorHandle } from '../tensor-handle.js'
import type { WorkerState } from '../worker-state.js'
import type { ConditioningHandles } from './messages.js'

/** The native inputs of a pass, but for the timestep. */
export function passInputs(
  { tensor }: Pick<WorkerState, 'tensor'>,
  sample: TensorHandle,
  { encoderHiddenStates, textEmbeds, timeIds }: ConditioningHandles,
): Omit<TrunkInputs, 'timestep'> {
  return {
    sample: tensor(sample),
    encoderHiddenStates: tensor(encoderHiddenStates),
    ...(textEmbeds && { textEmbeds: tensor(textEmbeds) }),
    ...(timeIds && { timeIds: tensor(timeIds) }),
  }
}
