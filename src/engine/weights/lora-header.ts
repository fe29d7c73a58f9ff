import { existsSync, realpathSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { SwiftdError } from '../errors.js'
import { groupParts, nameOf, type AdapterTarget } from './adapter.js'
import { isDistillationLora } from './distillation.js'
import { describeContents } from './file-contents.js'
import { widenTensor } from './half.js'
import { refusePickle } from './pickle.js'
import { SD1_PROMPT_WIDTH, SD2_PROMPT_WIDTH, SDXL_PROMPT_WIDTH } from './published-sizes.js'
import { openSafetensors, type SafetensorsFile } from './safetensors.js'
import { weightsSummary, type WeightsSummary } from './weights-summary.js'

/** How a LoRA file names its tensors. */
export type LoraFormat = 'diffusers' | 'old diffusers' | 'kohya'

/** What a LoRA file's header says, and the scalars in it. */
export interface LoraHeader extends WeightsSummary {
  /** The real path. */
  readonly path: string
  readonly format: LoraFormat
  /** The ranks of its layers, ascending and each once. */
  readonly ranks: readonly number[]
  /** The alphas of its layers, ascending and each once. A layer without one has its rank as alpha. */
  readonly alphas: readonly number[]
  /** How many layers of each network it changes. */
  readonly layers: Readonly<Partial<Record<AdapterTarget, number>>>
  /** The models that it is for, as far as its sizes tell. */
  readonly family?: 'sd1' | 'sd2' | 'sdxl'
  readonly metadata: Readonly<Record<string, string>>
  /** Whether it looks like an LCM, Lightning, Hyper or Turbo LoRA. */
  readonly distillation: boolean
}

/**
 * Reads what a LoRA is from its header, without reading the weights.
 * @throws SwiftdError MODEL_NOT_FOUND if there is no such file; INVALID_WEIGHTS if it is damaged; UNSUPPORTED_MODEL if it is
 * pickled, of another kind of adapter, or no LoRA
 */
export function readLoraHeader(path: string): LoraHeader {
  if (!existsSync(path)) throw new SwiftdError('MODEL_NOT_FOUND', `There is no LoRA at ${path}.`)
  const real = realpathSync(path)
  refusePickle(real, 'LoRA')
  if (statSync(real).isDirectory()) {
    throw new SwiftdError('UNSUPPORTED_MODEL', `${path} is a folder; give the .safetensors file of the LoRA in it.`)
  }
  const file = openSafetensors(real)
  try {
    return describe(file)
  } finally {
    file.close()
  }
}

function describe(file: SafetensorsFile): LoraHeader {
  const groups = groupParts(file)
  if (groups.length === 0) {
    throw new SwiftdError('UNSUPPORTED_MODEL', `${file.path} ${describeContents(file)}; it has no LoRA layers.`)
  }
  const layers: Partial<Record<AdapterTarget, number>> = {}
  const [ranks, alphas] = [new Set<number>(), new Set<number>()]
  for (const [key, { down, up, alpha }] of groups) {
    if (!down || !up) {
      const missing = down ? 'up' : 'down'
      const sentence = `${file.path} has no "${missing}" part for the layer "${key}"; download it again.`
      throw new SwiftdError('INVALID_WEIGHTS', sentence)
    }
    const { target } = nameOf(key)
    layers[target] = (layers[target] ?? 0) + 1
    ranks.add(down.shape[0])
    alphas.add(alpha ? widenTensor(file, alpha)[0] : down.shape[0])
  }
  const ascending = (values: Set<number>): number[] => [...values].sort((a, b) => a - b)
  const name = basename(file.path).replace(/\.safetensors$/, '')
  return {
    ...{ path: file.path, format: formatOf(file), ranks: ascending(ranks), alphas: ascending(alphas), layers },
    family: familyOf(file),
    metadata: { ...file.metadata },
    distillation: isDistillationLora({ name, metadata: file.metadata }),
    ...weightsSummary([...file.tensors.values()]),
  }
}

function formatOf({ tensors }: SafetensorsFile): LoraFormat {
  const names = [...tensors.keys()]
  if (names.some((name) => /^lora_(unet|te\d?)_/.test(name))) return 'kohya'
  return names.some((name) => /\.lora_[AB]\./.test(name)) ? 'diffusers' : 'old diffusers'
}

/** The part of a layer that sees the prompt: its shape is (rank, width of the prompt). */
const PROMPT_LAYER = /attn2[._](processor\.)?to_k(\.lora_A|\.lora_down|_lora\.down|\.lora(_linear_layer)?\.down)\b/

/** What training programs call the families' base models, in the metadata that kohya's and Stability AI's tools write. */
const BASE_NAMES: readonly [RegExp, LoraHeader['family']][] = [
  [/^(sdxl|stable-diffusion-xl)/, 'sdxl'],
  [/^(sd_v2|sd_2|stable-diffusion-v2)/, 'sd2'],
  [/^(sd_v1|sd_1|stable-diffusion-v1)/, 'sd1'],
]

/** Only SDXL's LoRAs have a second text encoder; else the width of the prompts in the UNet's attention tells. */
function familyOf({ tensors, metadata }: SafetensorsFile): LoraHeader['family'] {
  const all = [...tensors.values()]
  if (all.some(({ name }) => /^(lora_te2_|text_encoder_2\.)/.test(name))) return 'sdxl'
  const width = all.find(({ name }) => PROMPT_LAYER.test(name))?.shape[1]
  if (width === SD1_PROMPT_WIDTH) return 'sd1'
  if (width === SD2_PROMPT_WIDTH) return 'sd2'
  if (width === SDXL_PROMPT_WIDTH) return 'sdxl'
  const base = metadata.ss_base_model_version ?? metadata['modelspec.architecture'] ?? ''
  return BASE_NAMES.find(([pattern]) => pattern.test(base))?.[1]
}
