import { z } from 'zod'
import { ImageInfoSchema, TimingsSchema } from './job.js'
import { WireErrorSchema } from './wire-error.js'

/**
 * The events of a job, one JSON object per line. Rules of the protocol:
 *
 * - The first event is `accepted` and carries the protocol version.
 * - Exactly one terminal event (`completed`, `failed`, `cancelled`) ends the stream.
 * - A stream begins with the job's first event, also for a client that comes late.
 * - `heartbeat` appears while nothing else does; it belongs to the connection, not to the job.
 * - A client ignores event types that it does not know.
 */

/** Milliseconds since the epoch. */
const time = z.number()

/** What a device did in a step. Times are milliseconds. */
export const DeviceStepSchema = z.object({
  device: z.string(),
  /** base: the UNet, or its first part. second: another part of the batch. controlnet: a ControlNet. */
  role: z.enum(['base', 'second', 'controlnet']),
  /** On WebGPU until the device was given its work; the decoder's time has the rest. */
  encoderMs: z.number().optional(),
  decoderMs: z.number().optional(),
  controlNetMs: z.number().optional(),
  /** Waiting for ControlNets when the encoder was done. */
  waitMs: z.number().optional(),
  /** What asking another process took besides its computing. */
  messageMs: z.number().optional(),
  /** Bytes that it handed over in shared memory. */
  sharedBytes: z.number().optional(),
})
export type DeviceStep = z.infer<typeof DeviceStepSchema>

export const JobEventSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('accepted'),
    time,
    protocolVersion: z.number(),
    /** The daemon's version. */
    version: z.string(),
    jobId: z.string(),
    seed: z.number(),
    /** Jobs before it. */
    queuePosition: z.number(),
  }),
  z.object({ type: z.literal('started'), time, device: z.string() }),
  z.object({ type: z.literal('model-loaded'), time, model: z.string(), elapsedMs: z.number() }),
  z.object({ type: z.literal('warning'), time, message: z.string() }),
  z.object({
    type: z.literal('step'),
    time,
    /** Steps done, from 1. */
    step: z.number(),
    total: z.number(),
    timestep: z.number(),
    sigma: z.number().optional(),
    /** Since the step before, or since denoising began. */
    elapsedMs: z.number(),
    /** Of `elapsedMs`: inside the runtime's own runs. */
    runtimeMs: z.number(),
    /** What each device did in this step. */
    devices: z.array(DeviceStepSchema).optional(),
  }),
  /** What the job does from now on; `denoising` comes back after a restart. */
  z.object({ type: z.literal('phase'), time, phase: z.enum(['encoding-prompt', 'denoising', 'decoding']) }),
  z.object({
    /**
     * What an image may become; only if the request has `previews`, and a few times a second at most. A new one takes
     * the place of the last, also for a client that comes late.
     */
    type: z.literal('preview'),
    time,
    /** Steps done, from 1. */
    step: z.number(),
    /** Of the image, from 0. */
    index: z.number(),
    /** Of the latents: an eighth of the image's. */
    width: z.number(),
    height: z.number(),
    /** Red, green and blue bytes, row by row, in base64. */
    rgb: z.string(),
  }),
  z.object({
    type: z.literal('adapters-applied'),
    time,
    /** The model call from which on LoRAs are in effect, from 0. */
    step: z.number(),
    /** Their names. */
    loras: z.array(z.string()),
  }),
  z.object({
    type: z.literal('worker-restarted'),
    time,
    device: z.string(),
    /** Steps that were done when the worker died; the job goes on from there. */
    step: z.number(),
    reason: z.string(),
  }),
  z.object({ type: z.literal('image'), time, ...ImageInfoSchema.shape }),
  z.object({ type: z.literal('heartbeat'), time }),
  z.object({ type: z.literal('completed'), time, images: z.array(ImageInfoSchema), timings: TimingsSchema }),
  z.object({ type: z.literal('failed'), time, error: WireErrorSchema }),
  z.object({ type: z.literal('cancelled'), time }),
])

export type JobEvent = z.infer<typeof JobEventSchema>
export type TerminalEvent = Extract<JobEvent, { type: 'completed' | 'failed' | 'cancelled' }>

const KNOWN_TYPES: ReadonlySet<unknown> = new Set(
  JobEventSchema.options.flatMap((option) => [...option.shape.type.values]),
)

/**
 * Reads one event as a client does.
 * @returns undefined for an event type that this version does not know
 * @throws ZodError if an event of a known type is malformed
 */
export function parseJobEvent(value: unknown): JobEvent | undefined {
  const { type } = z.looseObject({ type: z.string() }).parse(value)
  return KNOWN_TYPES.has(type) ? JobEventSchema.parse(value) : undefined
}

/** True for the event that ends a job. */
export function isTerminal(event: JobEvent): event is TerminalEvent {
  return event.type === 'completed' || event.type === 'failed' || event.type === 'cancelled'
}
