import { randomInt } from 'node:crypto'
import { nativeSize, openCheckpoint, type Checkpoint } from '../../engine/weights/checkpoint.js'
import { parseGenerateRequest, type ParsedRequest, type ResolvedRequest } from '../protocol/request.js'
import { findModel, type ModelEntry } from '../models/registry.js'
import { chooseScheduler } from './scheduler-choice.js'

/** What diffusers' pipelines take when nothing is said, but half its steps: the images hardly differ from 25 on. */
const FAMILY_DEFAULTS = {
  sd: { numInferenceSteps: 25, guidanceScale: 7.5 },
  sdxl: { numInferenceSteps: 25, guidanceScale: 5 },
} as const

/** Random seeds stay below 2^32, the range of other programs, so that a seed means the same there. */
const RANDOM_SEEDS = 2 ** 32

/**
 * Validates a request and makes every choice that it leaves open. What can be refused without computing is refused here,
 * before the job exists.
 * @throws SwiftdError INVALID_REQUEST, PROMPT_TOO_LONG, MODEL_NOT_FOUND, INVALID_CONFIG, INVALID_WEIGHTS, UNSUPPORTED_MODEL
 */
export function admit(value: unknown): ResolvedRequest {
  const request = parseGenerateRequest(value)
  const model = findModel(request.model)
  const checkpoint = openCheckpoint(model.path, model.options)
  const resolved = resolve(request, model, checkpoint)
  chooseScheduler(resolved.scheduler, checkpoint)
  return resolved
}

function resolve(request: ParsedRequest, model: ModelEntry, checkpoint: Checkpoint): ResolvedRequest {
  const defaults = { ...nativeSize(checkpoint), ...FAMILY_DEFAULTS[checkpoint.family], ...model.defaults }
  return {
    ...request,
    model: model.name === model.path ? checkpoint.name : model.name,
    modelPath: checkpoint.path,
    modelOptions: model.options,
    width: request.width ?? defaults.width,
    height: request.height ?? defaults.height,
    numInferenceSteps: request.numInferenceSteps ?? defaults.numInferenceSteps,
    guidanceScale: request.guidanceScale ?? defaults.guidanceScale,
    seed: request.seed ?? randomInt(RANDOM_SEEDS),
  }
}
