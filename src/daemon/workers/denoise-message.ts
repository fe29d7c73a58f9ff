import type { DenoisePlan } from '../../engine/pipeline/denoise.js'
import { borrowTensor } from '../../engine/pipeline/local-tensor.js'
import type { Conditioning, Tensor } from '../../engine/pipeline/stages.js'
import type { DenoisePlanMessage, Parameters } from './messages.js'
import type { ArenaTensor, ArenaView } from './tensor-arena.js'
import type { TensorHandle } from './tensor-handle.js'

/** How the engine's DenoisePlan crosses to a worker and back: its tensors lie in the arena, the message has their handles. */

/** Writes a plan as a message. `share` copies values into a tensor of the arena. */
export function writePlan(
  { conditionings, conditioningAt, start, noise, scheduler, adapters, controls, ...plan }: DenoisePlan,
  share: (values: Float32Array, dims: readonly number[]) => TensorHandle,
): DenoisePlanMessage {
  // Neither has a form on the wire; leaving one out would draw another picture without a word.
  if (adapters || controls?.length)
    throw new TypeError('A plan with adapters or ControlNets cannot be sent to a worker.')
  const [count, , height, width] = plan.dims
  const latents = (values: Float32Array): TensorHandle => share(values, plan.dims)
  const { extraChannels, known } = start
  const channels = extraChannels && extraChannels.length / (count * height * width)
  return {
    ...plan,
    dims: [...plan.dims],
    ...(conditioningAt && { conditioningAt: [...conditioningAt] }),
    drawn: [...plan.drawn],
    scheduler: { class: scheduler.class, config: { ...scheduler.config } },
    noise: { ...noise, seeds: noise.seeds.map(String) },
    conditionings: conditionings.map(conditioningHandles),
    start: {
      index: start.index,
      latents: latents(start.latents),
      ...(extraChannels && channels && { extraChannels: share(extraChannels, [count, channels, height, width]) }),
      ...(known && {
        known: {
          latents: latents(known.latents),
          noise: latents(known.noise),
          mask: share(known.mask, [height, width]),
        },
      }),
    },
  }
}

/** Reads a plan whose tensors lie in the arena; nothing is copied. */
export function readPlan({ conditionings, start, noise, ...plan }: DenoisePlanMessage, arena: ArenaView): DenoisePlan {
  const tensor = (handle: TensorHandle): Tensor =>
    borrowTensor({ type: 'float32', dims: handle.dims, address: arena.addressOf(handle) })
  const values = (handle: TensorHandle): Float32Array => tensor(handle).data
  const { extraChannels, known } = start
  return {
    ...plan,
    noise: { ...noise, seeds: noise.seeds.map(BigInt) },
    conditionings: conditionings.map(({ encoderHiddenStates, textEmbeds, timeIds }) => ({
      encoderHiddenStates: tensor(encoderHiddenStates),
      ...(textEmbeds && { textEmbeds: tensor(textEmbeds) }),
      ...(timeIds && { timeIds: tensor(timeIds) }),
    })),
    start: {
      index: start.index,
      latents: values(start.latents),
      ...(extraChannels && { extraChannels: values(extraChannels) }),
      ...(known && {
        known: { latents: values(known.latents), noise: values(known.noise), mask: values(known.mask) },
      }),
    },
  }
}

/** Views of the rows of a tensor's first axis. */
export function rowsOf(arena: ArenaView, handle: TensorHandle): (index: number) => Float32Array {
  const { data } = borrowTensor({ type: 'float32', dims: handle.dims, address: arena.addressOf(handle) })
  return rowsOfValues(data, handle.dims[0])
}

/** Views of `count` equal rows of values. */
export function rowsOfValues(values: Float32Array, count: number): (index: number) => Float32Array {
  const length = values.length / count
  return (index) => values.subarray(index * length, (index + 1) * length)
}

/** The handles of a conditioning whose tensors lie in the arena. */
export function conditioningHandles({
  encoderHiddenStates,
  textEmbeds,
  timeIds,
}: Conditioning): Parameters<'predictNoise'>['conditioning'] {
  return {
    encoderHiddenStates: handleOf(encoderHiddenStates),
    ...(textEmbeds && { textEmbeds: handleOf(textEmbeds) }),
    ...(timeIds && { timeIds: handleOf(timeIds) }),
  }
}

/** The handle of a tensor of the arena. */
export function handleOf(tensor: Tensor): TensorHandle {
  if (!('handle' in tensor)) throw new TypeError('This tensor belongs to other stages.')
  return (tensor as ArenaTensor).handle
}
