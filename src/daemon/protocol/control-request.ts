import { z } from 'zod'
import { bounded, choice, flag, text } from './fields.js'
import { LIMITS, MAX_CONTROLS } from './limits.js'
import { PictureInfoSchema, PictureSchema } from './picture.js'
import { CONTROL_MODES, PREPROCESSORS, RESIZE_MODES } from './words.js'

export type Preprocessor = (typeof PREPROCESSORS)[number]
export type ControlMode = (typeof CONTROL_MODES)[number]

/** The most residuals that a ControlNet adds: those of SD1.x. */
const MAX_RESIDUALS = 13

const NAME = 'the name or absolute path of a ControlNet'

/** How a ControlNet acts, without the picture. */
const OPTIONS = {
  preprocessor: choice(PREPROCESSORS).default('none'),
  /** Canny's thresholds, between levels 0 to 255 of brightness. */
  lowThreshold: bounded(LIMITS.cannyThreshold).default(100),
  highThreshold: bounded(LIMITS.cannyThreshold).default(200),
  resizeMode: choice(RESIZE_MODES).default('just-resize'),
  /** diffusers' controlnet_conditioning_scale. */
  scale: bounded(LIMITS.controlScale).default(1),
  /** diffusers' control_guidance_start and control_guidance_end: shares of the steps. */
  start: bounded(LIMITS.controlTime).default(0),
  end: bounded(LIMITS.controlTime).default(1),
  controlMode: choice(CONTROL_MODES).default('balanced'),
  /** diffusers' guess_mode: the ControlNet sees no prompt. */
  guessMode: flag().default(false),
  /** A factor for each residual, from the first down block to the middle. */
  residualWeights: z
    .array(bounded(LIMITS.residualWeight), { error: 'must be a list of numbers' })
    .max(MAX_RESIDUALS, { error: `must be a list of at most ${MAX_RESIDUALS} numbers` })
    .optional(),
}

const SETTINGS = { controlNet: text(NAME).min(1, `must be ${NAME}`), ...OPTIONS }

/** A ControlNet without its picture. */
export const ControlSettingsSchema = z.strictObject(SETTINGS)

/** A ControlNet of a request. */
export const ControlRequestSchema = z
  .strictObject({ ...SETTINGS, image: PictureSchema })
  .refine(({ start, end }) => start <= end, { path: ['start'], error: 'must not be above end' })
  .refine(({ lowThreshold, highThreshold }) => lowThreshold <= highThreshold, {
    ...{ path: ['lowThreshold'], error: 'must not be above highThreshold' },
  })
export type ControlRequest = z.input<typeof ControlRequestSchema>

/** The field of a request. */
export const ControlsSchema = z
  .array(ControlRequestSchema, { error: 'must be a list of ControlNets such as {"controlNet": "canny", "image": …}' })
  .max(MAX_CONTROLS, { error: `must be a list of at most ${MAX_CONTROLS} ControlNets` })

/** A ControlNet of a job. */
export const ResolvedControlSchema = z.object({
  controlNet: z.string(),
  path: z.string(),
  image: PictureInfoSchema,
  ...OPTIONS,
})
export type ResolvedControl = z.infer<typeof ResolvedControlSchema>
