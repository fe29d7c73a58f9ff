import { formatInfotext, type GenerationParameters } from '../../engine/image/infotext.js'
import { ImageRecordSchema, RECORD_KEYWORD, type ImageRecord } from '../protocol/image-record.js'
import type { ResolvedRequest } from '../protocol/request.js'
import { SWIFTD_VERSION } from '../protocol/version.js'
import { formatUnit, textsOf } from './control-unit.js'
import { displayName, type WeightHashes } from './weight-hashes.js'

/** What a run found out that its images should tell. */
export interface RunFacts {
  /** As A1111 names it. */
  readonly sampler: string
  readonly scheduleType: string
  readonly hashes: WeightHashes
  /** The step at which LoRAs took effect, where the request left it open. */
  readonly loraPatchStep?: number
}

/** The text chunks of one image: `parameters` as stable-diffusion-webui writes it, and the exact request as JSON. */
export function imageTexts(
  request: ResolvedRequest,
  { index, seed }: { readonly index: number; readonly seed: number },
  facts: RunFacts,
): Record<string, string> {
  const { loraPatchStep } = facts
  const record: ImageRecord = {
    ...{ version: SWIFTD_VERSION, request, index, seed },
    ...(loraPatchStep !== undefined && { loraPatchStep }),
  }
  return {
    parameters: formatInfotext(parametersOf(request, seed, index, facts)),
    // The schema's order of the fields, so that an image made again has the same file.
    [RECORD_KEYWORD]: JSON.stringify(ImageRecordSchema.parse(record)),
  }
}

function parametersOf(
  request: ResolvedRequest,
  seed: number,
  index: number,
  { sampler, scheduleType, hashes, loraPatchStep }: RunFacts,
): GenerationParameters {
  const { variationSeed, variationStrength = 0, strength, clipSkip, controls, modelOptions, vae } = request
  return {
    ...{ prompt: request.prompt, negativePrompt: request.negativePrompt ?? '', steps: request.numInferenceSteps },
    ...{ sampler, scheduleType, cfgScale: request.guidanceScale, seed, width: request.width, height: request.height },
    ...{ modelHash: hashes.model, model: request.model, rng: request.rng.toUpperCase() },
    ...(hashes.vae !== undefined && { vaeHash: hashes.vae, vae: displayName(vae ?? modelOptions?.vae ?? '') }),
    // stable-diffusion-webui counts the variation seed up for each image.
    ...(variationSeed !== undefined &&
      variationStrength > 0 && {
        variationSeed: variationSeed + index,
        variationSeedStrength: variationStrength,
      }),
    ...(strength !== undefined && { denoisingStrength: strength }),
    ...(clipSkip !== undefined && { clipSkip }),
    ...(controls.length > 0 && { controlNets: controls.map((unit, i) => formatUnit(unit, hashes.controls[i])) }),
    ...(request.loras.length > 0 && { loraHashes: hashes.loras }),
    extra: extraSettings(request, loraPatchStep),
    version: `swiftd v${SWIFTD_VERSION}`,
  }
}

/** Settings that stable-diffusion-webui has by these names, then those that only swiftd has. */
function extraSettings(request: ResolvedRequest, loraPatchStep: number | undefined): Record<string, string> {
  const { emphasis, eta, promptSyntax, noiseConvention, guidanceRescale, mask, prompt2, negativePrompt2 } = request
  return textsOf({
    'Inpaint area': mask && 'Whole picture',
    'Masked content': mask && 'original',
    'Eta DDIM': eta,
    Emphasis: emphasis === 'no-norm' ? 'No norm' : undefined,
    'Second prompt': prompt2,
    'Second negative prompt': negativePrompt2,
    'Prompt syntax': promptSyntax,
    'Noise convention': noiseConvention,
    'Guidance rescale': guidanceRescale,
    'Lora patch step': loraPatchStep,
  })
}
