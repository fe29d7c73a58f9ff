import { existsSync } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import { SwiftdError } from '../errors.js'
import { publishedTokenizerDirectory } from '../text/published-tokenizers.js'
import { detectClip, detectOpenClip, detectVae, publishedVae, timeIdWidth } from './architecture.js'
import type { Checkpoint, Component, TextComponent } from './checkpoint.js'
import type { TextEncoderConfig, UnetConfig, VaeConfig } from './config.js'
import { widenTensor } from './half.js'
import { describeContents, hasPrefix } from './file-contents.js'
import { openClipNames, ORIGINAL_PREFIX as PREFIX, originalTrunkNames, originalVaeNames } from './original-names.js'
import { ofLayout, openSafetensors, type SafetensorsFile, type StoredTensor } from './safetensors.js'
import { detectUnet } from './trunk-architecture.js'
import type { NameMapping } from './weights.js'

/** What the published kinds of single files have in them, by their text encoders. */
type Kind = 'sd1' | 'sd2' | 'sdxl'

/**
 * Opens a single-file checkpoint in the original key names. The architecture is read from the tensors' names and shapes,
 * or, where a configuration folder is given, from its files.
 * @param configuration a diffusers folder, with or without weights, that says what the tensors cannot
 * @param needsVae whether the file's own autoencoder is used. Of a file without one the config says what another must fit.
 * @throws SwiftdError UNSUPPORTED_MODEL for files that hold something else, or no autoencoder that is needed; INVALID_WEIGHTS
 * for damaged ones
 */
export function openSingleFile(path: string, configuration: Checkpoint | undefined, needsVae: boolean): Checkpoint {
  const file = openSafetensors(path)
  try {
    const kind = detectKind(file)
    const family = kind === 'sdxl' ? 'sdxl' : 'sd'
    const encoders = textEncoders(file, kind, configuration)
    const unet = configuration?.unet.config ?? withTimeIds(detectUnet(file), encoders)
    const hasVae = file.tensors.has(`${PREFIX.vae}decoder.conv_in.weight`)
    if (needsVae && !hasVae) throw noVae(path)
    const vae = configuration?.vae.config ?? (hasVae ? detectVae(file, family, PREFIX.vae) : publishedVae(path, family))
    return {
      path,
      name: basename(path, extname(path)),
      family,
      textEncoders: encoders,
      unet: component<UnetConfig>(path, unet, originalTrunkNames(unet, PREFIX.unet)),
      vae: component<VaeConfig>(path, vae, originalVaeNames(vae.block_out_channels.length, PREFIX.vae)),
      scheduler: configuration?.scheduler ?? defaultScheduler(file, kind),
      forceZerosForEmptyPrompt: configuration?.forceZerosForEmptyPrompt ?? true,
      vaeScale: 2 ** (vae.block_out_channels.length - 1),
    }
  } finally {
    file.close()
  }
}

function noVae(path: string): SwiftdError {
  const advice = 'give one, a folder or a .safetensors file, by --vae of "swiftd generate" or of "swiftd model add"'
  return new SwiftdError('UNSUPPORTED_MODEL', `${path} has no autoencoder (VAE); ${advice}.`)
}

/** The folder beside a single file that configures it, if there is one: the file's name without its ending. */
export function configurationBeside(path: string): string | undefined {
  const folder = join(dirname(path), basename(path, extname(path)))
  return existsSync(join(folder, 'model_index.json')) ? folder : undefined
}

const detectKind = ofLayout((file): Kind => {
  // Asking for one tensor takes no time; going through all names for a prefix takes as long as mapping the file.
  const has = (prefix: string, tensor = 'token_embedding.weight'): boolean => file.tensors.has(prefix + tensor)
  const refuse = (what: string): never => {
    const known = 'it runs SD1.x, SD2.x and SDXL base models'
    throw new SwiftdError('UNSUPPORTED_MODEL', `${file.path} ${what}; ${known}.`)
  }
  if (!has(PREFIX.unet, 'input_blocks.0.0.weight') && !hasPrefix(file, PREFIX.unet)) {
    return refuse(`${describeContents(file)}, not a base model`)
  }
  if (has(PREFIX.sdxlOpenClip)) return 'sdxl'
  if (has(PREFIX.refinerOpenClip)) {
    return refuse('is an SDXL refiner, whose UNet is conditioned on an aesthetic score that swiftd does not have')
  }
  if (has(PREFIX.openClip)) return 'sd2'
  if (has(PREFIX.clip, 'text_model.embeddings.token_embedding.weight')) return 'sd1'
  return refuse('has no text encoder of a kind that swiftd knows')
})

/** The text encoders of each kind of file, in the order in which their hidden states are joined. */
function textEncoders(file: SafetensorsFile, kind: Kind, configuration: Checkpoint | undefined): TextComponent[] {
  const configured = (index: number): TextEncoderConfig | undefined => configuration?.textEncoders[index]?.config
  const encoder = (
    index: number,
    config: TextEncoderConfig,
    names: NameMapping,
    pad: 'end' | 'zero',
  ): TextComponent => ({
    ...component(file.path, config, names),
    tokenizerDirectory: configuration?.textEncoders[index]?.tokenizerDirectory ?? publishedTokenizerDirectory(pad),
  })
  const clip = (index: number, prefix: string): TextComponent =>
    encoder(index, configured(index) ?? detectClip(file, prefix), (name) => ({ name: prefix + name }), 'end')
  const openClip = (index: number, prefix: string, unusedLayers: number): TextComponent => {
    const config = configured(index) ?? detectOpenClip(file, prefix, unusedLayers)
    return encoder(index, config, openClipNames(prefix), 'zero')
  }
  switch (kind) {
    case 'sd1':
      return [clip(0, PREFIX.clip)]
    case 'sd2':
      return [openClip(0, PREFIX.openClip, 1)]
    case 'sdxl':
      return [clip(0, PREFIX.sdxlClip), openClip(1, PREFIX.sdxlOpenClip, 0)]
  }
}

function component<Config>(path: string, config: Config, names: NameMapping): Component<Config> {
  return { config, weightsPath: path, names: () => names }
}

/** SDXL's joined embedding has the pooled prompt and six size ids; only the text encoder says how wide the first is. */
function withTimeIds(unet: UnetConfig, encoders: readonly TextComponent[]): UnetConfig {
  const joined = unet.projection_class_embeddings_input_dim
  const pooled = encoders[encoders.length - 1].config.projection_dim
  if (!joined || !pooled) return unet
  return { ...unet, addition_time_embed_dim: timeIdWidth(joined, pooled) }
}

/** The published models' noise schedule; a single file says nothing of it, except perhaps how it predicts. */
function defaultScheduler(file: SafetensorsFile, kind: Kind): Checkpoint['scheduler'] {
  return {
    class: 'EulerDiscreteScheduler',
    config: {
      num_train_timesteps: 1000,
      beta_start: 0.00085,
      beta_end: 0.012,
      beta_schedule: 'scaled_linear',
      steps_offset: 1,
      timestep_spacing: 'leading',
      prediction_type: predictsVelocity(file, kind) ? 'v_prediction' : 'epsilon',
      rescale_betas_zero_snr: file.tensors.has('ztsnr'),
    },
  }
}

/** Deviation of one norm's bias above which an SD2.x file is a v-prediction model; ComfyUI's rule (supported_models.py). */
const VELOCITY_BIAS_DEVIATION = 0.09
const VELOCITY_BIAS = `${PREFIX.unet}output_blocks.11.1.transformer_blocks.0.norm1.bias`

/** Whether a model predicts velocity: by its own statement, or for SD2.x by how its weights look. */
function predictsVelocity(file: SafetensorsFile, kind: Kind): boolean {
  const stated = file.metadata['modelspec.prediction_type'] ?? file.metadata['modelspec.predict_key']
  if (stated) return stated.toLowerCase().startsWith('v')
  if (file.tensors.has('v_pred')) return true
  const bias = kind === 'sd2' ? file.tensors.get(VELOCITY_BIAS) : undefined
  return bias ? deviationOf(file, bias) > VELOCITY_BIAS_DEVIATION : false
}

function deviationOf(file: SafetensorsFile, tensor: StoredTensor): number {
  const values = widenTensor(file, tensor)
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)
}
