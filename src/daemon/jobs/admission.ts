import { randomInt } from 'node:crypto'
import { checkRequest } from '../../engine/pipeline/request.js'
import { nativeSize, openCheckpoint, type Checkpoint } from '../../engine/weights/checkpoint.js'
import { openControlNetComponent } from '../../engine/weights/controlnet-file.js'
import { findControlNet } from '../models/adapters.js'
import { findModel } from '../models/registry.js'
import type { ModelEntry } from '../models/kind.js'
import { vaePath } from '../models/vae.js'
import { parseGenerateRequest, type ParsedRequest, type ResolvedRequest } from '../protocol/request.js'
import { engineRequest } from './engine-request.js'
import { prepareInputs, type JobInputs } from './job-inputs.js'
import { chooseLoras, type LoraChoice } from './lora-choice.js'
import { decodePictures, sizeOfPicture, type RequestPictures } from './pictures.js'
import { chooseScheduler } from './scheduler-choice.js'

/** What diffusers' pipelines take when nothing is said, but half its steps: the images hardly differ from 25 on. */
const FAMILY_DEFAULTS = {
  sd: { numInferenceSteps: 25, guidanceScale: 7.5 },
  sdxl: { numInferenceSteps: 25, guidanceScale: 5 },
} as const

/** What diffusers' pipelines take for image to image and for inpainting. */
const DEFAULT_STRENGTH = { image: 0.8, mask: 1 } as const

/** Random seeds stay below 2^32, the range of other programs, so that a seed means the same there. */
const RANDOM_SEEDS = 2 ** 32

/** A request that can become a job. */
export interface AdmittedRequest {
  readonly request: ResolvedRequest
  readonly inputs: JobInputs
  /** What a person should know about it. */
  readonly notes: readonly string[]
}

/**
 * Validates a request, makes every choice that it leaves open, and decodes its pictures. What can be refused without
 * computing is refused here, before the job exists.
 * @throws SwiftdError INVALID_REQUEST, PROMPT_TOO_LONG, MODEL_NOT_FOUND, INVALID_CONFIG, INVALID_WEIGHTS, UNSUPPORTED_MODEL
 */
export async function admit(value: unknown): Promise<AdmittedRequest> {
  const { previews = false, ...parsed } = parseGenerateRequest(value)
  const model = modelOf(parsed)
  const checkpoint = openCheckpoint(model.path, model.options)
  const loras = chooseLoras(parsed)
  const pictures = await decodePictures(parsed)
  const request = resolve(parsed, { model, checkpoint, loras, pictures })
  const { description } = chooseScheduler(request.scheduler, checkpoint)
  const inputs = await prepareInputs(pixelsOf(pictures), request)
  checkRequest(engineRequest(request, inputs, description), checkpoint)
  return { request, inputs: { ...inputs, previews }, notes: loras.notes }
}

/** The model, opened with the request's autoencoder if it has one. */
function modelOf({ model: name, vae }: ParsedRequest): ModelEntry {
  const model = findModel(name)
  return vae === undefined ? model : { ...model, options: { ...model.options, vae: vaePath(vae) } }
}

interface Choices {
  readonly model: ModelEntry
  readonly checkpoint: Checkpoint
  readonly loras: LoraChoice
  readonly pictures: RequestPictures
}

function resolve(request: ParsedRequest, { model, checkpoint, loras, pictures }: Choices): ResolvedRequest {
  const { image, mask, controls } = pictures
  const size = image ? sizeOfPicture(image, request) : nativeSize(checkpoint)
  const defaults = { ...size, ...FAMILY_DEFAULTS[checkpoint.family], ...model.defaults }
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
    image: image?.info,
    mask: mask?.info,
    ...(image && { strength: request.strength ?? DEFAULT_STRENGTH[mask ? 'mask' : 'image'] }),
    loras: [...loras.loras],
    loraTags: loras.loraTags,
    controls: (request.controls ?? []).map((control, index) => {
      const { name, path } = findControlNet(control.controlNet)
      // Only its header is read: one for another base should not become a job.
      openControlNetComponent(path, checkpoint)
      return { ...control, controlNet: name, path, image: controls[index].info }
    }),
  }
}

function pixelsOf({ image, mask, controls }: RequestPictures) {
  return { image: image?.pixels, mask: mask?.pixels, controls: controls.map(({ pixels }) => pixels) }
}
