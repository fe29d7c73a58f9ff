import type { Interfaces } from '@oclif/core'
import type { GenerateRequest } from '../../daemon/protocol/request.js'
import type { ControlArgument } from './control-argument.js'
import type { GENERATE_FLAGS } from './generate-flags.js'
import { flatten } from './list-flag.js'
import { modelReference } from './model-reference.js'
import { readPictureFile } from './picture-file.js'

/** The flags of `swiftd generate` that were given, of whatever origin. */
export type GenerateFlags = Partial<Interfaces.InferredFlags<typeof GENERATE_FLAGS>>

/** Fields of a request that flags give. Only those of the flags are there. */
export type RequestFields = Partial<GenerateRequest>

/** The request of a command: its pictures are read from their files. */
export async function requestOf(prompt: string, flags: GenerateFlags): Promise<GenerateRequest> {
  return { ...fieldsOf(flags), ...(await picturesOf(flags)), prompt, loraTags: true }
}

/** What flags say, without the pictures. */
export function fieldsOf(flags: GenerateFlags): RequestFields {
  const fields: RequestFields = {
    negativePrompt: flags['negative-prompt'],
    prompt2: flags['prompt-2'],
    negativePrompt2: flags['negative-prompt-2'],
    promptSyntax: flags['prompt-syntax'],
    emphasis: flags.emphasis,
    clipSkip: flags['clip-skip'],
    model: flags.model === undefined ? undefined : modelReference(flags.model),
    vae: flags.vae === undefined ? undefined : modelReference(flags.vae),
    vaeTiling: flags['vae-tiling'],
    width: flags.width,
    height: flags.height,
    numInferenceSteps: flags.steps,
    scheduler: flags.scheduler,
    guidanceScale: flags['guidance-scale'],
    guidanceRescale: flags['guidance-rescale'],
    eta: flags.eta,
    seed: flags.seed,
    numImages: flags.n,
    rng: flags.rng,
    noiseConvention: flags['noise-convention'],
    variationSeed: flags['variation-seed'],
    variationStrength: flags['variation-strength'],
    strength: flags.strength,
    resizeMode: flags['resize-mode'],
    loras: flatten(flags.lora),
    loraBound: flags['lora-bound'],
    loraAt: flags['lora-at'],
    loraPartial: flags['lora-partial'],
    latentParallel: flags['latent-parallel'],
    placement: placementOf(flags),
  }
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

/**
 * The pictures that flags name.
 * @throws SwiftdError INVALID_REQUEST if a file is missing or cannot be read
 */
export async function picturesOf(flags: GenerateFlags): Promise<Pick<RequestFields, 'image' | 'mask' | 'controls'>> {
  const controls = flatten<ControlArgument>(flags.control)
  return {
    ...(flags.image !== undefined && { image: await readPictureFile('--image', flags.image) }),
    ...(flags.mask !== undefined && { mask: await readPictureFile('--mask', flags.mask) }),
    ...(controls && { controls: await Promise.all(controls.map(withPicture)) }),
  }
}

async function withPicture({ file, settings }: ControlArgument) {
  return { ...settings, image: await readPictureFile('--control', file) }
}

function placementOf(flags: GenerateFlags): RequestFields['placement'] {
  const placement = {
    baseDevice: flags['base-device'],
    secondDevice: flags['second-device'],
    textDevice: flags['text-device'],
    controlNetDevices: flatten<string>(flags['controlnet-device']),
  }
  return Object.values(placement).some((value) => value !== undefined) ? placement : undefined
}
