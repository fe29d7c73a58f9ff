import type { AdapterWindow, ControlWindow, DenoisePlan } from '../../engine/pipeline/denoise.js'
import { borrowTensor } from '../../engine/pipeline/local-tensor.js'
import type { Conditioning, PreparedAdapters, PreparedControl, Tensor } from '../../engine/pipeline/stages.js'
import type { DenoisePlanMessage, Parameters } from './messages.js'
import type { ConditioningHandles, ModelReference } from './passes/messages.js'
import type { ArenaTensor, ArenaView } from './tensor-arena.js'
import type { TensorHandle } from './tensor-handle.js'

/** How the engine's DenoisePlan crosses to a worker and back: its tensors lie in the arena, the message has their handles. */

/** The LoRAs of a job, as the daemon names them. */
export interface RemoteAdapters extends PreparedAdapters {
  readonly uses: Parameters<'prepareAdapters'>['adapters']
}

/** A ControlNet of a job with its picture in the arena, as the daemon names it. */
export interface RemoteControl extends PreparedControl {
  readonly path: string
  readonly base: ModelReference
  readonly picture: TensorHandle
  readonly pictureKey: string
}

/** Writes a plan as a message. `share` copies values into a tensor of the arena. */
export function writePlan(
  { conditionings, conditioningAt, start, noise, scheduler, adapters, controls = [], ...plan }: DenoisePlan,
  share: (values: Float32Array, dims: readonly number[]) => TensorHandle,
): DenoisePlanMessage {
  const [count, , height, width] = plan.dims
  const latents = (values: Float32Array): TensorHandle => share(values, plan.dims)
  const { extraChannels, known } = start
  const channels = extraChannels && extraChannels.length / (count * height * width)
  return {
    ...plan,
    dims: [...plan.dims],
    ...(adapters && { adapters: writeAdapters(adapters) }),
    controls: controls.map(writeControl),
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

function writeAdapters({ prepared, ...when }: AdapterWindow): DenoisePlanMessage['adapters'] {
  return { uses: (prepared as RemoteAdapters).uses, ...when }
}

function writeControl({
  control,
  residualWeights,
  ...settings
}: ControlWindow): DenoisePlanMessage['controls'][number] {
  const { path, base, picture, pictureKey } = control as RemoteControl
  return {
    path,
    base,
    picture,
    pictureKey,
    ...settings,
    ...(residualWeights && { residualWeights: [...residualWeights] }),
  }
}

/**
 * Reads a plan whose tensors lie in the arena; nothing is copied. Its ControlNets are named by their numbers: how strongly they
 * count is the passes' business.
 */
export function readPlan(
  { conditionings, start, noise, adapters, controls, ...plan }: DenoisePlanMessage,
  arena: ArenaView,
): DenoisePlan {
  const tensor = (handle: TensorHandle): Tensor =>
    borrowTensor({ type: 'float32', dims: handle.dims, address: arena.addressOf(handle) })
  const values = (handle: TensorHandle): Float32Array => tensor(handle).data
  const { extraChannels, known } = start
  return {
    ...plan,
    ...(adapters && { adapters: readAdapters(adapters) }),
    controls: controls.map(({ scale, guessMode, start: from, end }, index) => ({
      ...{ control: { key: String(index) }, scale, guessMode, start: from, end },
    })),
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

function readAdapters({ uses, ...when }: NonNullable<DenoisePlanMessage['adapters']>): AdapterWindow {
  return { prepared: { key: JSON.stringify(uses) }, ...when }
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
export function conditioningHandles({ encoderHiddenStates, textEmbeds, timeIds }: Conditioning): ConditioningHandles {
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
