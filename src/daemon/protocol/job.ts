import { z } from 'zod'
import { ResolvedRequestSchema } from './request.js'
import { WireErrorSchema } from './wire-error.js'

/**
 * queued: admitted, waits for a device. running: a device works on it.
 * completed: every image is there. failed: `error` says why. cancelled: a client asked for it, or the daemon stopped.
 */
export const JobStateSchema = z.enum(['queued', 'running', 'completed', 'failed', 'cancelled'])
export type JobState = z.infer<typeof JobStateSchema>

export const ImageInfoSchema = z.object({
  /** Its number in the job, from 0. */
  index: z.number(),
  width: z.number(),
  height: z.number(),
  seed: z.number(),
  /** Size of the PNG. */
  byteLength: z.number(),
})
export type ImageInfo = z.infer<typeof ImageInfoSchema>

/** Where a finished job's time went, in milliseconds. */
export const TimingsSchema = z.object({
  /** From submission to the device. */
  queuedMs: z.number(),
  /** Loading the checkpoint: almost nothing when it is resident. */
  loadMs: z.number(),
  /** Everything from prompt to pixels. */
  generateMs: z.number(),
  /** Of `generateMs`: inside the runtime's own runs, summed over all stages. */
  runtimeMs: z.number(),
})
export type Timings = z.infer<typeof TimingsSchema>

/** A job as clients see it. Times are milliseconds since the epoch. */
export const JobSchema = z.object({
  id: z.string(),
  state: JobStateSchema,
  request: ResolvedRequestSchema,
  createdAt: z.number(),
  startedAt: z.number().optional(),
  finishedAt: z.number().optional(),
  /** Jobs before it; only while queued. */
  queuePosition: z.number().optional(),
  device: z.string().optional(),
  /** Denoising steps done and to do; only from the first step on. */
  progress: z.object({ step: z.number(), total: z.number() }).optional(),
  images: z.array(ImageInfoSchema),
  error: WireErrorSchema.optional(),
})
export type Job = z.infer<typeof JobSchema>

export const JobListSchema = z.object({ jobs: z.array(JobSchema) })
