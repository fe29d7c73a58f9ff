import { z } from 'zod'
import { bounded, flag, flagOrAuto, text } from './fields.js'
import { LIMITS, MAX_CONTROLS } from './limits.js'
import { DeviceStatusSchema } from './status.js'

const MODEL = 'the name or path of a model'
const CONTROLNETS = 'a list of names or absolute paths of ControlNets'

/** The body of POST /v1/plan: the fields of a job that tell where it would run. What is not given is as for a job. */
export const PlanRequestSchema = z.strictObject(
  {
    model: text(MODEL).min(1, `must be ${MODEL}`).default('demo'),
    width: bounded(LIMITS.width).optional(),
    height: bounded(LIMITS.height).optional(),
    numImages: bounded(LIMITS.numImages).default(1),
    guidanceScale: bounded(LIMITS.guidanceScale).optional(),
    controls: z
      .array(text(CONTROLNETS), { error: `must be ${CONTROLNETS}` })
      .max(MAX_CONTROLS)
      .default([]),
    latentParallel: flagOrAuto().default(false),
    /** Measure what is not known. Devices that are busy are not measured. */
    measure: flag().default(true),
  },
  { error: 'must be an object' },
)
export type PlanRequest = z.input<typeof PlanRequestSchema>

/** Who computes what. */
export const PlanCandidateSchema = z.object({
  /** For people: `cpu:0, canny on cpu:1`. */
  description: z.string(),
  base: z.string(),
  /** Computes half of the batch. */
  second: z.string().optional(),
  /** The device of each ControlNet. */
  controlNets: z.array(z.string()),
  /** Likewise for the rows of the second device. */
  secondControlNets: z.array(z.string()),
  /** Runs the text encoders and the autoencoder, of what is chosen; absent where the base device does. */
  text: z.string().optional(),
  /** The time of one step; absent where a stage was not measured. */
  predictedStepMs: z.number().optional(),
})
export type PlanCandidate = z.infer<typeof PlanCandidateSchema>

/** What POST /v1/plan answers. */
export const PlanSchema = z.object({
  /** The model's name for people. */
  model: z.string(),
  width: z.number(),
  height: z.number(),
  devices: z.array(z.object({ ...DeviceStatusSchema.shape, roles: z.array(z.enum(['base', 'controlnet'])) })),
  /** Fastest first, where that is known. */
  candidates: z.array(PlanCandidateSchema),
  /** What a job of this moment gets; absent if it has to wait. */
  chosen: PlanCandidateSchema.optional(),
  /** Whether the choice is by measured times; else it is by rule. */
  measured: z.boolean(),
  /** What a person should know of the choice. */
  notes: z.array(z.string()),
})
export type Plan = z.infer<typeof PlanSchema>
