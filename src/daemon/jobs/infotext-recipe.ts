import { SwiftdError } from '../../engine/errors.js'
import type { GenerationParameters } from '../../engine/image/infotext.js'
import { listModels } from '../models/registry.js'
import { openModelStore } from '../models/store.js'
import { shortModelName } from '../models/names.js'
import { LIMITS } from '../protocol/limits.js'
import type { Recipe } from '../protocol/recipe.js'
import { NOISE_CONVENTIONS, PROMPT_SYNTAXES } from '../protocol/words.js'
import { unitSettings } from './control-unit.js'

/** Settings beside the usual ones that make a difference and are understood, or that make none. */
const UNDERSTOOD = [
  ...['Eta DDIM', 'Emphasis', 'Second prompt', 'Second negative prompt', 'Prompt syntax', 'Noise convention'],
  ...['Guidance rescale', 'Lora patch step', 'Inpaint area', 'Masked content', 'Version'],
]

/**
 * What makes an image again by the parameters that stable-diffusion-webui or a compatible program wrote. Prompts and seeds
 * are read as there; what swiftd wrote itself says how it is to be read.
 * @throws SwiftdError INVALID_REQUEST for seeds that cannot be given
 */
export function recipeOfInfotext(parameters: GenerationParameters): Recipe {
  const { extra = {}, denoisingStrength, controlNets = [] } = parameters
  const notes: string[] = []
  // The strength of a second pass that makes the image larger, not of a picture that it starts from.
  const upscaled = Object.keys(extra).some((key) => key.startsWith('Hires'))
  const fromPicture = denoisingStrength !== undefined && !upscaled
  const unheeded = Object.keys(extra).filter((key) => !UNDERSTOOD.includes(key))
  if (parameters.vae !== undefined) unheeded.push(`VAE (${parameters.vae}; --vae would give it)`)
  if (unheeded.length > 0) notes.push(`These settings of the image are not heeded: ${unheeded.join(', ')}.`)
  const seed = seedOf('seed', parameters.seed)
  const variationSeed = seedOf('variation seed', parameters.variationSeed)
  const second = extra['Second prompt']
  const secondNegative = extra['Second negative prompt']
  return {
    request: {
      ...samplingOf(parameters),
      ...conventionsOf(parameters),
      prompt: parameters.prompt,
      negativePrompt: parameters.negativePrompt,
      ...(second !== undefined && { prompt2: second }),
      ...(secondNegative !== undefined && { negativePrompt2: secondNegative }),
      model: modelOf(parameters),
      loraTags: true,
      numImages: 1,
      resizeMode: 'just-resize',
      vaeTiling: 'auto',
      ...(seed !== undefined && { seed }),
      ...(variationSeed !== undefined && { variationSeed, variationStrength: parameters.variationSeedStrength }),
      ...(fromPicture && { strength: denoisingStrength }),
    },
    ...(fromPicture && { image: {} }),
    ...(fromPicture && isInpainted(extra) && { mask: {} }),
    controls: controlNets.map((unit) => ({ settings: unitSettings(unit), picture: {} })),
    index: 0,
    alone: { ...(seed !== undefined && { seed }), ...(variationSeed !== undefined && { variationSeed }) },
    notes,
  }
}

function samplingOf({ steps, sampler, scheduleType, cfgScale, width, height, clipSkip, extra }: GenerationParameters) {
  const spaced = scheduleType !== undefined && scheduleType !== 'Automatic' ? ` ${scheduleType}` : ''
  const numbers = {
    ...{ numInferenceSteps: steps, guidanceScale: cfgScale, width, height, clipSkip },
    ...{ eta: numberOf(extra?.['Eta DDIM']), guidanceRescale: numberOf(extra?.['Guidance rescale']) },
    loraAt: numberOf(extra?.['Lora patch step']),
  }
  return { ...numbers, ...(sampler !== undefined && { scheduler: `${sampler}${spaced}` }) }
}

/** Programs that do not say it read prompts and seeds as stable-diffusion-webui, whose noise is a GPU's by default. */
function conventionsOf({ rng, extra = {} }: GenerationParameters) {
  return {
    promptSyntax: PROMPT_SYNTAXES.find((word) => word === extra['Prompt syntax']) ?? 'a1111',
    noiseConvention: NOISE_CONVENTIONS.find((word) => word === extra['Noise convention']) ?? 'a1111',
    emphasis: extra.Emphasis === 'No norm' ? ('no-norm' as const) : ('original' as const),
    rng: rng === 'CPU' ? ('cpu' as const) : ('nv' as const),
  }
}

/** A registered model of that name or hash; else the name, which the daemon will not know, but can say so. */
function modelOf({ model, modelHash }: GenerationParameters): string {
  const store = openModelStore()
  const names = listModels(store).map(({ name }) => name)
  if (model !== undefined && names.includes(model)) return model
  const sameFile = store
    .read()
    .records.find(({ kind, digest }) => kind === 'file' && modelHash && digest.startsWith(modelHash))
  return sameFile ? shortModelName(sameFile.name) : (model ?? 'demo')
}

function isInpainted(extra: Readonly<Record<string, string>>): boolean {
  return ['Inpaint area', 'Masked content', 'Mask blur'].some((key) => key in extra)
}

function seedOf(what: string, seed: number | bigint | undefined): number | undefined {
  if (seed === undefined) return undefined
  const number = Number(seed)
  if (number >= LIMITS.seed.min && number <= LIMITS.seed.max) return number
  const sentence = `The image has the ${what} ${seed}, but at most ${LIMITS.seed.max} can be given.`
  throw new SwiftdError('INVALID_REQUEST', sentence)
}

function numberOf(text: string | undefined): number | undefined {
  const number = text === undefined ? NaN : Number(text)
  return Number.isFinite(number) ? number : undefined
}
