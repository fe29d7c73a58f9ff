import { concatenate } from '../../../src/engine/tensor.js'
import { z } from 'zod'
import { generate } from '../../../src/engine/pipeline/generate.js'
import type { BaseModel } from '../../../src/engine/networks/base-model.js'
import { localStages, type LocalAdapters, type LocalControl } from '../../../src/engine/pipeline/local-stages.js'
import type { GenerateRequest } from '../../../src/engine/pipeline/request.js'
import type { Stages } from '../../../src/engine/pipeline/stages.js'
import { SCHEDULER_CLASSES } from '../../../src/engine/sampling/schedulers/index.js'
import { fromRgbImages, type RgbImage } from '../../../src/engine/image/pixels.js'
import type { GrayImage } from '../../../src/engine/pipeline/mask.js'
import type { KindResult, ParityContext, ParityKind } from '../context.js'
import { measure, toleranceSchema, type Measurement, type Tensor } from '../measure.js'
import { familyModel, modelTokenizers, withNative } from '../model.js'
import { openComponent } from './controlnet.js'
import { forEachSpelling, lorasSchema } from './lora.js'

const size = z.tuple([z.number(), z.number()])
const numbers = z.union([z.number(), z.array(z.number())]).optional()
const text = z.union([z.string(), z.array(z.string())])

const caseSchema = z.looseObject({
  pipeline: z.enum(['txt2img', 'img2img', 'inpaint', 'controlnet']),
  scheduler: z.looseObject({ class: z.string(), config: z.record(z.string(), z.unknown()) }),
  prompt: text,
  prompt_2: z.string().optional(),
  negative_prompt: text.nullable(),
  negative_prompt_2: z.string().optional(),
  num_images_per_prompt: z.number().int().optional(),
  height: z.number().int(),
  width: z.number().int(),
  seeds: z.array(z.number().int()),
  num_inference_steps: z.number().int(),
  guidance_scale: z.number(),
  guidance_rescale: z.number().optional(),
  clip_skip: z.number().int().optional(),
  strength: z.number().optional(),
  loras: lorasSchema,
  lora_from_step: z.number().int().nullish(),
  lora_switch_text_encoders: z.boolean().default(false),
  controlnets: z.array(z.string()).default([]),
  controlnet_conditioning_scale: numbers,
  control_guidance_start: numbers,
  control_guidance_end: numbers,
  guess_mode: z.boolean().optional(),
  original_size: size.optional(),
  crops_coords_top_left: size.optional(),
  target_size: size.optional(),
  negative_original_size: size.optional(),
  negative_crops_coords_top_left: size.optional(),
  negative_target_size: size.optional(),
  tolerance: z.object({
    latents: toleranceSchema,
    image: toleranceSchema.default('exact'),
    image_u8: toleranceSchema.default('exact'),
  }),
})
type PipelineCase = z.infer<typeof caseSchema>

/** How a model's stages are made for a job. */
export type StagesOf = (model: BaseModel) => Stages

/** A whole job: prompts in, latents of every step and the picture out. */
export const pipeline: ParityKind = (context) => runPipeline(context, localStages)

/** Runs a case on stages of one's own. */
export async function runPipeline(context: ParityContext, stagesOf: StagesOf): Promise<KindResult> {
  const golden = caseSchema.parse(context.case)
  if (!SCHEDULER_CLASSES.includes(golden.scheduler.class)) {
    return { skipped: `${golden.scheduler.class} is not yet supported` }
  }
  const model = await familyModel(context)
  const request = { ...requestOf(golden), ...pictures(context) }
  const run: RunRequest = async (more) => runOnce(context, golden, model, stagesOf(model), { ...request, ...more })
  if (golden.loras.length > 0) return runWithLoras(context, golden, model, run)
  return withControls(context, golden, async (controls) => ({ measurements: await run(controls) }))
}

/** Runs the case's request with LoRAs and ControlNets. */
type RunRequest = (more: Pick<GenerateRequest, 'adapters' | 'controls'>) => Promise<Measurement[]>

/** Every spelling of the LoRAs has to give the same. */
async function runWithLoras(
  context: ParityContext,
  golden: PipelineCase,
  model: BaseModel,
  run: RunRequest,
): Promise<KindResult> {
  const measurements: Measurement[] = []
  await forEachSpelling(context, model, golden.loras, async (set, spelling) => {
    const prepared: LocalAdapters = { key: spelling, set }
    const adapters = {
      prepared,
      fromStep: golden.lora_from_step ?? 0,
      switchTextEncoders: golden.lora_switch_text_encoders,
    }
    const result = await withControls(context, golden, async (controls) => ({
      measurements: await run({ ...controls, adapters }),
    }))
    const named = 'measurements' in result ? result.measurements : []
    measurements.push(...named.map((each) => ({ ...each, quantity: `${each.quantity} (${spelling})` })))
  })
  return { measurements }
}

/** Prepares the case's ControlNets for the task. */
async function withControls(
  context: ParityContext,
  golden: PipelineCase,
  task: (controls: Pick<GenerateRequest, 'controls'>) => Promise<KindResult>,
): Promise<KindResult> {
  const each = <T>(value: T | T[] | undefined, index: number): T | undefined =>
    Array.isArray(value) ? value[index] : value
  const pictures = context.inputs('control_u8')
  return withNative(async (native) => {
    const prepared: LocalControl[] = []
    for (const [index, component] of golden.controlnets.entries()) {
      const network = await openComponent(context, component)
      const picture = pictures[index] ?? pictures[0]
      const [height, width] = picture.shape as [number, number]
      const { data, dims } = fromRgbImages([{ width, height, data: picture.data as Uint8Array }], 'unit')
      const { conditioning } = await network.embed(native({ shape: dims, data }))
      prepared.push({ key: component, network, conditioning })
    }
    try {
      if (prepared.length === 0) return await task({})
      const controls = prepared.map((control, index) => ({
        control,
        scale: each(golden.controlnet_conditioning_scale, index) ?? 1,
        start: each(golden.control_guidance_start, index) ?? 0,
        end: each(golden.control_guidance_end, index) ?? 1,
        guessMode: golden.guess_mode ?? false,
      }))
      return await task({ controls })
    } finally {
      prepared.forEach(({ conditioning }) => conditioning.release())
    }
  })
}

async function runOnce(
  context: ParityContext,
  golden: PipelineCase,
  model: BaseModel,
  stages: Stages,
  request: GenerateRequest,
): Promise<Measurement[]> {
  const steps: Float32Array[] = []
  const result = await generate({
    checkpoint: model.checkpoint,
    tokenizers: await modelTokenizers(context, model),
    stages,
    request,
    onStep: ({ latents }) => void steps.push(latents),
  })

  const expected = context.output('latents_steps')
  const trajectory = { shape: [steps.length, ...expected.shape.slice(1)], data: concatenate(steps) }
  const measurements = measure('latents_steps', golden.tolerance.latents, trajectory, expected, { perSlice: true })
  const compare = (role: 'latents' | 'image' | 'image_u8', data: Tensor['data']): void => {
    for (const tensor of context.outputs(role)) {
      measurements.push(...measure(role, golden.tolerance[role], { shape: tensor.shape, data }, tensor))
    }
  }
  compare('latents', result.latents)
  compare('image', result.decoded)
  compare('image_u8', new Uint8Array(Buffer.concat(result.images.map(({ data }) => data))))
  return measurements
}

function requestOf(golden: PipelineCase): GenerateRequest {
  const negative = golden.negative_original_size !== undefined || golden.negative_target_size !== undefined
  return {
    prompt: golden.prompt,
    prompt2: golden.prompt_2,
    negativePrompt: golden.negative_prompt,
    negativePrompt2: golden.negative_prompt_2,
    numImagesPerPrompt: golden.num_images_per_prompt,
    width: golden.width,
    height: golden.height,
    numInferenceSteps: golden.num_inference_steps,
    guidanceScale: golden.guidance_scale,
    guidanceRescale: golden.guidance_rescale,
    seeds: golden.seeds.map(BigInt),
    scheduler: golden.scheduler,
    clipSkip: golden.clip_skip,
    strength: golden.strength,
    sizes: {
      originalSize: golden.original_size,
      cropsCoordsTopLeft: golden.crops_coords_top_left,
      targetSize: golden.target_size,
    },
    ...(negative && {
      negativeSizes: {
        originalSize: golden.negative_original_size,
        cropsCoordsTopLeft: golden.negative_crops_coords_top_left,
        targetSize: golden.negative_target_size,
      },
    }),
  }
}

/** The picture and the mask, where the case has them. */
function pictures(context: ParityContext): Pick<GenerateRequest, 'image' | 'mask'> {
  const [image] = context.inputs('image_u8').map(({ shape: [height, width], data }) => ({ width, height, data }))
  const [mask] = context.inputs('mask_u8').map(({ shape: [height, width], data }) => ({ width, height, data }))
  return { ...(image && { image: image as RgbImage }), ...(mask && { mask: mask as GrayImage }) }
}
