import type { AdapterSet } from '../networks/adapter-set.js'
import { promptDims, type BaseModel } from '../networks/base-model.js'
import type { ControlNet } from '../networks/controlnet.js'
import { controlResiduals, type ControlPass } from '../networks/control-pass.js'
import type { TrunkInputs } from '../networks/unet.js'
import type { NativeHandle } from '../ort/native.js'
import { allocateTensor, nativeOf } from './local-tensor.js'
import { denoise } from './denoise.js'
import type {
  Conditioning,
  PassOptions,
  PreparedAdapters,
  PreparedControl,
  Stages,
  Tensor,
  UnetStages,
} from './stages.js'

/** Adapters that are prepared for a model of this process. */
export interface LocalAdapters extends PreparedAdapters {
  readonly set: AdapterSet
}

/** A ControlNet of this process with its embedded picture. */
export interface LocalControl extends PreparedControl {
  readonly network: ControlNet
  readonly conditioning: NativeHandle
}

/** The stages of a model that is loaded in this process. */
export function localStages(model: BaseModel, signal?: AbortSignal): Stages & UnetStages {
  const { checkpoint } = model
  return {
    halfPrecision: model.halfPrecision,
    denoise(plan, options) {
      return denoise(this, plan, options)
    },
    allocate: allocateTensor,
    async encodePrompt(tokens, clipSkip, adapters) {
      const dims = promptDims(checkpoint)
      const hiddenStates = allocateTensor(dims.hiddenStates)
      const pooled = dims.pooled && allocateTensor(dims.pooled)
      const outputs = { hiddenStates: hiddenStates.native, ...(pooled && { pooled: pooled.native }) }
      await model.encodePrompt(tokens, clipSkip, outputs, callOptions(signal, adapters))
      return { hiddenStates, ...(pooled && { pooled }) }
    },
    async predictNoise(sample, timestep, conditioning, out, options = {}) {
      const inputs = trunkInputs(sample, timestep, conditioning)
      if (!options.controls) return model.predictNoise(inputs, nativeOf(out), callOptions(signal, options.adapters))
      const residuals = await controlResiduals(inputs, controlPasses(options), options.positiveRow, signal)
      try {
        const call = { ...callOptions(signal, options.adapters), residuals: residuals.scaled }
        const { runtimeMs } = await model.predictNoise(inputs, nativeOf(out), call)
        return { runtimeMs: runtimeMs + residuals.runtimeMs }
      } finally {
        residuals.release()
      }
    },
    async decodeLatents(latents) {
      const [count, , height, width] = latents.dims
      const scale = checkpoint.vaeScale
      const image = allocateTensor([count, 3, height * scale, width * scale])
      await model.decodeLatents(nativeOf(latents), image.native, signal)
      return image
    },
    async encodeImage(image) {
      const [count, , height, width] = image.dims
      const scale = checkpoint.vaeScale
      const depth = 2 * checkpoint.vae.config.latent_channels
      const moments = allocateTensor([count, depth, height / scale, width / scale])
      await model.encodeImage(nativeOf(image), moments.native, signal)
      return moments
    },
  }
}

/** The native inputs of one UNet pass. */
export function trunkInputs(sample: Tensor, timestep: number, conditioning: Conditioning): TrunkInputs {
  const { encoderHiddenStates, textEmbeds, timeIds } = conditioning
  return {
    sample: nativeOf(sample),
    timestep,
    encoderHiddenStates: nativeOf(encoderHiddenStates),
    ...(textEmbeds && { textEmbeds: nativeOf(textEmbeds) }),
    ...(timeIds && { timeIds: nativeOf(timeIds) }),
  }
}

function callOptions(signal: AbortSignal | undefined, adapters: PreparedAdapters | undefined) {
  return { ...(signal && { signal }), ...(adapters && { adapters: (adapters as LocalAdapters).set }) }
}

function controlPasses({ controls = [] }: PassOptions): ControlPass[] {
  return controls.map(({ control, ...strength }) => {
    const { network, conditioning } = control as LocalControl
    return { network, conditioning, ...strength }
  })
}
