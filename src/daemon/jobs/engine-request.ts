import type { GenerateRequest } from '../../engine/pipeline/request.js'
import type { SchedulerDescription } from '../../engine/sampling/schedulers/index.js'
import type { ResolvedRequest } from '../protocol/request.js'
import type { JobInputs } from './job-inputs.js'
import { promptText } from './lora-choice.js'

/**
 * A job's request as the engine takes it, but for its LoRAs and ControlNets, which need the stages that the job runs on.
 */
export function engineRequest(
  request: ResolvedRequest,
  { image, mask }: JobInputs,
  scheduler: SchedulerDescription,
): GenerateRequest {
  const { numImages, seed, noiseConvention, variationSeed } = request
  return {
    prompt: promptText(request),
    prompt2: request.prompt2,
    negativePrompt: request.negativePrompt ?? null,
    negativePrompt2: request.negativePrompt2,
    promptSyntax: request.promptSyntax,
    emphasis: request.emphasis,
    numImagesPerPrompt: numImages,
    width: request.width,
    height: request.height,
    numInferenceSteps: request.numInferenceSteps,
    guidanceScale: request.guidanceScale,
    guidanceRescale: request.guidanceRescale,
    // In the a1111 convention the engine counts on from one seed itself, or not, if there is a variation.
    seeds: noiseConvention === 'a1111' ? [BigInt(seed)] : seedsFrom(BigInt(seed), numImages),
    noiseConvention,
    rng: request.rng,
    ...(variationSeed !== undefined && { variationSeed: BigInt(variationSeed) }),
    variationStrength: request.variationStrength,
    scheduler,
    eta: request.eta,
    clipSkip: request.clipSkip,
    image,
    mask,
    strength: request.strength,
    vaeTiling: request.vaeTiling,
  }
}

function seedsFrom(seed: bigint, count: number): bigint[] {
  return Array.from({ length: count }, (_, index) => seed + BigInt(index))
}
