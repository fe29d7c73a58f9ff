import { z } from 'zod'
import { DeviceStepSchema } from '../../protocol/event.js'
import { ModelOptionsSchema } from '../../protocol/request.js'
import { TensorHandleSchema, type TensorHandle } from '../tensor-handle.js'

/**
 * What a pass of the UNet consists of, as plain data: who computes which rows of the batch, and which ControlNets, where.
 * The daemon decides it once for a job; the worker that runs the denoising loop hands the parts of others on to them.
 */

/** Which checkpoint, and how it is opened. */
export const ModelReferenceSchema = z.object({ path: z.string().min(1), options: ModelOptionsSchema.optional() })
export type ModelReference = z.infer<typeof ModelReferenceSchema>

/** A worker that another one may ask directly. */
export const PeerSchema = z.object({
  /** Its device, for messages. */
  device: z.string(),
  /** The unix socket on which it listens. */
  socket: z.string(),
})
export type Peer = z.infer<typeof PeerSchema>

/** The LoRAs of a job; the engine's AdapterDescription. */
export const AdaptersSchema = z
  .array(
    z.object({
      path: z.string().min(1),
      scale: z.number(),
      textEncoderScale: z.number().optional(),
      partial: z.boolean().optional(),
    }),
  )
  .min(1)

/** What the UNet sees besides the latents; the engine's Conditioning. */
export const ConditioningSchema = z.object({
  encoderHiddenStates: TensorHandleSchema,
  textEmbeds: TensorHandleSchema.optional(),
  timeIds: TensorHandleSchema.optional(),
})
export type ConditioningHandles = z.infer<typeof ConditioningSchema>

/** A ControlNet and the picture that it follows. */
export const ControlReferenceSchema = z.object({
  /** Its folder or file. */
  path: z.string().min(1),
  /** The model that it is used with, which says what a ControlNet's single file does not. */
  base: ModelReferenceSchema,
  /** (1, 3, H, W) in 0..1 */
  picture: TensorHandleSchema,
  /** Tells the picture's content from others: it is embedded once. */
  pictureKey: z.string().min(1),
})

/** The engine's ControlStrength. */
export const ControlStrengthSchema = z.object({
  scale: z.number(),
  guessMode: z.boolean(),
  mode: z.enum(['balanced', 'prompt', 'control']).optional(),
  residualWeights: z.array(z.number()).optional(),
})

/** Where a ControlNet's residuals for some rows are computed. */
export const ControlAssignmentSchema = z.object({
  /** Its number among the job's. */
  control: z.int().min(0),
  /** Absent: the worker that computes the rows. */
  peer: PeerSchema.optional(),
  /** Receive the residuals of all these rows: those of the skips, then the mid block's. */
  residuals: z.array(TensorHandleSchema).min(2),
  /** The first of these rows that gets residuals; those before keep zeros. */
  begin: z.int().min(0),
})

/** Rows of the batch, and who computes them. */
export const PartSchema = z.object({
  /** First row, and the one behind the last. */
  rows: z.tuple([z.int().min(0), z.int().min(1)]),
  /** Absent: the worker that runs the loop. */
  peer: PeerSchema.optional(),
  controls: z.array(ControlAssignmentSchema),
})
export type Part = z.infer<typeof PartSchema>

/** A ControlNet's work on some rows, for all steps of a job. */
export const ControlOpenSchema = z.object({
  kind: z.literal('control'),
  ...ControlReferenceSchema.shape,
  sample: TensorHandleSchema,
  conditionings: z.array(ConditioningSchema).min(1),
  residuals: z.array(TensorHandleSchema).min(2),
})
export type ControlOpen = z.infer<typeof ControlOpenSchema>

/** The UNet's work on some rows, for all steps of a job. */
export const PassOpenSchema = z.object({
  kind: z.literal('pass'),
  model: ModelReferenceSchema,
  adapters: AdaptersSchema.optional(),
  sample: TensorHandleSchema,
  conditionings: z.array(ConditioningSchema).min(1),
  out: TensorHandleSchema,
  controls: z.array(
    ControlAssignmentSchema.extend({ ...ControlReferenceSchema.shape, strength: ControlStrengthSchema }),
  ),
})
export type PassOpen = z.infer<typeof PassOpenSchema>

/** One step of a ControlNet. */
export const ControlRunSchema = z.object({ timestep: z.number(), conditioning: z.int().min(0) })
export type ControlRun = z.infer<typeof ControlRunSchema>

/** One step of the UNet. */
export const PassRunSchema = ControlRunSchema.extend({
  /** Whether the adapters are in effect. */
  adapted: z.boolean(),
  /** The numbers of the ControlNets that take part. */
  controls: z.array(z.int().min(0)),
})
export type PassRun = z.infer<typeof PassRunSchema>

export const ControlDoneSchema = z.object({ runtimeMs: z.number() })
export type ControlDone = z.infer<typeof ControlDoneSchema>

export const PassDoneSchema = z.object({
  runtimeMs: z.number(),
  encoderMs: z.number(),
  decoderMs: z.number(),
  waitMs: z.number(),
  /** The ControlNets' part of it. */
  controls: z.array(DeviceStepSchema),
  /** Whether the adapters could be in effect at the next step without waiting. */
  adaptersReady: z.boolean(),
})
export type PassDone = z.infer<typeof PassDoneSchema>

/** Rows `begin` to `end` of a tensor of the arena, as a handle. */
export function sliceRows({ offset, byteLength, dims }: TensorHandle, begin: number, end: number): TensorHandle {
  const [rows, ...rest] = dims
  const rowBytes = byteLength / rows
  return { offset: offset + begin * rowBytes, byteLength: (end - begin) * rowBytes, dims: [end - begin, ...rest] }
}

/** Rows `begin` to `end` of everything that the UNet sees. */
export function sliceConditioning(conditioning: ConditioningHandles, begin: number, end: number): ConditioningHandles {
  const { encoderHiddenStates, textEmbeds, timeIds } = conditioning
  return {
    encoderHiddenStates: sliceRows(encoderHiddenStates, begin, end),
    ...(textEmbeds && { textEmbeds: sliceRows(textEmbeds, begin, end) }),
    ...(timeIds && { timeIds: sliceRows(timeIds, begin, end) }),
  }
}
