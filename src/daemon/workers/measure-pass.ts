import { residualDims } from '../../engine/graph/trunk-shapes.js'
import { promptDims, type BaseModel } from '../../engine/networks/base-model.js'
import { openFence } from '../../engine/networks/fence.js'
import { allocateTensor } from '../../engine/pipeline/local-tensor.js'
import type { Parameters, Result } from './messages.js'
import type { WorkerState } from './worker-state.js'

/** Short passes are timed several times, and the shortest time counts: the others have the machine's other work in them. */
const MAX_ROUNDS = 15
const ENOUGH_MS = 250

/**
 * Times one pass of a UNet, and of a ControlNet, on this device, on zeros: how long it takes does not depend on the values.
 * @throws SwiftdError OUT_OF_MEMORY if the device is too small for it
 */
export function measurePass(
  state: WorkerState,
  parameters: Parameters<'measure'>,
  signal: AbortSignal,
): Promise<Result<'measure'>> {
  return state.withModel(parameters.model, (model) => measureWith(state, model, parameters, signal))
}

async function measureWith(
  state: WorkerState,
  model: BaseModel,
  { model: reference, latents, controlNet }: Parameters<'measure'>,
  signal: AbortSignal,
): Promise<Result<'measure'>> {
  const { unet } = model.checkpoint
  await state.host.prepare(model.checkpoint, { pass: latents })
  const [batch, , height, width] = latents
  const { hiddenStates, pooled } = promptDims(model.checkpoint)
  const fence = await openFence(state.host.graphs)
  const held: { release(): void }[] = [fence]
  const tensor = (dims: readonly number[]) => {
    const made = allocateTensor(dims)
    held.push(made)
    return made.native
  }
  const inputs = {
    sample: tensor([batch, unet.config.in_channels, height, width]),
    timestep: 500,
    encoderHiddenStates: tensor([batch, ...hiddenStates.slice(1)]),
    ...(pooled && { textEmbeds: tensor([batch, ...pooled.slice(1)]), timeIds: tensor([batch, 6]) }),
  }
  const out = tensor([batch, unet.config.out_channels, height, width])
  try {
    const passes = await repeat(() => model.predictNoise(inputs, out, { signal, fence }))
    const encoderMs = Math.min(...passes.map((pass) => pass.encoderMs))
    const decoderMs = Math.min(...passes.map((pass) => pass.decoderMs))
    if (controlNet === undefined) return { encoderMs, decoderMs }

    const { controlNets } = state.host
    const described = state.controlNetReference(controlNet, reference)
    const lease = await controlNets.acquire(described)
    try {
      const { network } = lease.value
      const scale = model.checkpoint.vaeScale
      const picture = [1, 3, height * scale, width * scale]
      await controlNets.prepare(described, { pass: latents, picture })
      const { conditioning } = await network.embed(tensor(picture), signal)
      const control = { ...inputs, sample: tensor([batch, network.config.in_channels, height, width]) }
      const residuals = residualDims(network.shapes, control.sample.dims).map(tensor)
      const runs = await repeat(() => network.run(control, conditioning, residuals, signal))
      conditioning.release()
      return { encoderMs, decoderMs, controlNetMs: Math.min(...runs.map(({ runtimeMs }) => runtimeMs)) }
    } finally {
      lease.end()
    }
  } finally {
    held.forEach((each) => each.release())
  }
}

/** Runs a pass once for pages and buffers that later ones have, then at least once to time it. */
async function repeat<T>(run: () => Promise<T>): Promise<T[]> {
  await run()
  const results: T[] = []
  const began = performance.now()
  do results.push(await run())
  while (results.length < MAX_ROUNDS && performance.now() - began < ENOUGH_MS)
  return results
}
