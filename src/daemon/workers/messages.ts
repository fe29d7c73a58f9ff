import { z } from 'zod'
import { DeviceStepSchema } from '../protocol/event.js'
import { DeviceMemoryStatusSchema, PrecisionSchema } from '../protocol/status.js'
import { WireErrorSchema } from '../protocol/wire-error.js'
import {
  AdaptersSchema,
  ConditioningSchema,
  ControlReferenceSchema,
  ControlStrengthSchema,
  ModelReferenceSchema,
  PartSchema,
  PeerSchema,
} from './passes/messages.js'
import { EvictedSchema, ResidentSchema } from './resident-messages.js'
import { TensorHandleSchema } from './tensor-handle.js'

/**
 * What the daemon and a worker say to each other over the child's IPC channel. Rules of the protocol:
 *
 * - The worker speaks first, with `hello` and its version; daemon and worker must be of the same.
 * - Each request has an id and is answered exactly once, also when it was cancelled: until then the worker may write to
 *   the tensors of the request, so the daemon must not release them.
 * - `cancel` names a request; it has no answer of its own. Cancelling what is already answered does nothing.
 * - Tensors stay in the arena; messages carry handles. A worker keeps nothing of a job between requests but what can be
 *   made again: models, overlays of LoRAs, ControlNets. What a request names a job for stays until the job has settled.
 * - `evicted` comes at any time.
 */
export const WORKER_PROTOCOL_VERSION = 3

/** The descriptor by which a worker inherits the arena, next after its output; its IPC channel takes the one after. */
export const ARENA_FD = 3

const model = ModelReferenceSchema
const dims = z.array(z.int().min(1))
/** (N, C, H, W) */
const imageDims = z.tuple([z.int().min(1), z.int().min(1), z.int().min(1), z.int().min(1)])
/** The job that keeps what the request makes resident, until it settles. */
const job = z.string().min(1).optional()

/** The engine's NoiseDescription; seeds are decimal, since JSON's numbers do not hold 64 bits. */
const NoiseDescriptionSchema = z.object({
  seeds: z.array(z.string().regex(/^\d+$/)).min(1),
  count: z.int().min(1),
  rng: z.enum(['cpu', 'nv']).optional(),
  convention: z.enum(['diffusers', 'a1111']).optional(),
})

/** The engine's DenoisePlan with its tensors as handles. */
const DenoisePlanSchema = z.object({
  scheduler: z.object({ class: z.string(), config: z.record(z.string(), z.unknown()) }),
  numInferenceSteps: z.int().min(1),
  eta: z.number().optional(),
  conditionings: z.array(ConditioningSchema).min(1),
  conditioningAt: z.array(z.int().min(0)).optional(),
  start: z.object({
    index: z.int().min(0),
    latents: TensorHandleSchema,
    extraChannels: TensorHandleSchema.optional(),
    known: z.object({ latents: TensorHandleSchema, noise: TensorHandleSchema, mask: TensorHandleSchema }).optional(),
  }),
  dims: z.tuple([z.int(), z.int(), z.int(), z.int()]),
  guidanceScale: z.number(),
  guidanceRescale: z.number(),
  adapters: z
    .object({ uses: AdaptersSchema, fromCall: z.int().min(0).optional(), boundCall: z.int().min(0).optional() })
    .optional(),
  controls: z.array(
    z.object({ ...ControlReferenceSchema.shape, ...ControlStrengthSchema.shape, start: z.number(), end: z.number() }),
  ),
  noise: NoiseDescriptionSchema,
  drawn: z.array(z.object({ perImage: z.int(), shared: z.boolean() })),
})
export type DenoisePlanMessage = z.infer<typeof DenoisePlanSchema>

/** The parameters of each request. */
export const PARAMETERS = {
  /** Makes a checkpoint resident; does nothing if it is. With `work` it also makes sure that the work has its memory. */
  load: z.object({
    model,
    job,
    /** The shapes of the largest calls that will follow; the engine's ModelWork. */
    work: z
      .object({
        pass: imageDims.optional(),
        controls: z.int().min(0).optional(),
        decode: imageDims.optional(),
        encode: imageDims.optional(),
      })
      .optional(),
  }),
  /** Forgets a checkpoint, however it was opened, unless somebody uses it. */
  unload: z.object({ model }),
  encodePrompt: z.object({
    model,
    tokens: z.array(z.array(z.int().min(0))).min(1),
    clipSkip: z.int().min(0).optional(),
    /** What is in effect on the text encoders. */
    adapters: AdaptersSchema.optional(),
    hiddenStates: TensorHandleSchema,
    pooled: TensorHandleSchema.optional(),
  }),
  /** Makes a ControlNet resident and embeds a picture, if one is given. */
  prepareControlNet: z.object({
    path: z.string().min(1),
    base: ModelReferenceSchema,
    picture: ControlReferenceSchema.pick({ picture: true, pictureKey: true }).optional(),
    /** Keep it whatever the budget says, or no longer. */
    pinned: z.boolean().optional(),
    job,
    /** (B, C, h, w) of its passes, which will have their memory. */
    pass: imageDims.optional(),
  }),
  /** Opens LoRAs for a model and begins to compute their overlays. */
  prepareAdapters: z.object({
    model,
    adapters: AdaptersSchema,
    /** Answer when the UNet's overlay is there, too. */
    whole: z.boolean(),
    job,
  }),
  /** Lets go of what a job kept and releases what is over the budgets, after the work of processes that are gone has stopped. */
  settle: z.object({ job }),
  /** Tells what is resident. */
  residents: z.object({}),
  /** Times one pass of a model, and of ControlNets, with made-up inputs. */
  measure: z.object({
    model,
    /** (B, C, h, w) */
    latents: imageDims,
    controlNet: z.string().optional(),
  }),
  /** Times messages to another worker and their answers. */
  measureMessage: z.object({ peer: PeerSchema }),
  /** Runs the whole denoising loop; tells its progress after every step. */
  denoise: z.object({
    model,
    plan: DenoisePlanSchema,
    /** Who computes which rows of the batch. */
    parts: z.array(PartSchema).min(1),
    /** (B, C, h, w) each: the UNet's input and output. */
    sample: TensorHandleSchema,
    prediction: TensorHandleSchema,
    /** (calls, N, C, h, w): receives the guided prediction of every call; the first `finished` are there already. */
    predictions: TensorHandleSchema,
    finished: z.int().min(0),
    /** (calls, N, C, h, w): receives the latents after every call. */
    latents: TensorHandleSchema,
  }),
  decodeLatents: z.object({ model, latents: TensorHandleSchema, out: TensorHandleSchema }),
  encodeImage: z.object({ model, image: TensorHandleSchema, out: TensorHandleSchema }),
} as const

const RunResult = z.object({
  /** Inside the runtime's own run, in milliseconds. */
  runtimeMs: z.number(),
})

/** The result of each request. */
export const RESULTS = {
  load: z.object({
    /** Dims of one encoded prompt: (1, S, C) and, for SDXL, (1, P). */
    promptDims: z.object({ hiddenStates: dims, pooled: dims.optional() }),
  }),
  unload: z.object({}),
  encodePrompt: RunResult,
  prepareControlNet: z.object({
    /** Whether it was resident before. */
    cached: z.boolean(),
    byteLength: z.number(),
    elapsedMs: z.number(),
  }),
  prepareAdapters: z.object({
    cached: z.boolean(),
    /** Layers that name nothing in the model, by file. */
    unmatched: z.array(z.object({ path: z.string(), layers: z.array(z.string()) })),
    /** Of the overlays that are computed. */
    byteLength: z.number(),
    runtimeMs: z.number(),
    elapsedMs: z.number(),
  }),
  settle: z.object({}),
  residents: z.object({
    residents: z.array(ResidentSchema),
    memory: DeviceMemoryStatusSchema,
  }),
  measure: z.object({
    encoderMs: z.number(),
    decoderMs: z.number(),
    controlNetMs: z.number().optional(),
  }),
  measureMessage: z.object({ messageMs: z.number() }),
  /** The progress messages tell the times. */
  denoise: z.object({}),
  decodeLatents: RunResult,
  encodeImage: RunResult,
} as const

/** One finished step of `denoise`; its tensors are written when this is sent. */
export const DenoiseProgressSchema = z.object({
  index: z.int().min(0),
  total: z.int().min(1),
  timestep: z.number(),
  /** null where the method has none. */
  sigma: z.number().nullable(),
  elapsedMs: z.number(),
  runtimeMs: z.number(),
  /** Whether the adapters were in effect. */
  adapted: z.boolean(),
  devices: z.array(DeviceStepSchema).optional(),
})
export type DenoiseProgress = z.infer<typeof DenoiseProgressSchema>

export type Method = keyof typeof PARAMETERS
export type Parameters<M extends Method> = z.infer<(typeof PARAMETERS)[M]>
export type Result<M extends Method> = z.infer<(typeof RESULTS)[M]>

const id = z.int().min(1)
const MethodSchema = z.enum(Object.keys(PARAMETERS) as [Method, ...Method[]])

/** Daemon to worker. `parameters` are validated by the method's schema. */
export const ToWorkerSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('request'), id, method: MethodSchema, parameters: z.unknown() }),
  z.object({ type: z.literal('cancel'), id }),
  z.object({ type: z.literal('shutdown') }),
])
export type ToWorker = z.infer<typeof ToWorkerSchema>

/** Worker to daemon. `result` is validated by the schema of the request's method. */
export const FromWorkerSchema = z.discriminatedUnion('type', [
  z.object({
    ...{ type: z.literal('hello'), protocolVersion: z.number(), version: z.string(), pid: z.number() },
    /** What its device computes in. Optional, since the hello of another version must be understood, too. */
    precision: PrecisionSchema.optional(),
  }),
  /** Instead of `hello`: the worker cannot start, and exits. */
  z.object({ type: z.literal('failed'), reason: z.string() }),
  /** Steps on the way to the answer of a `denoise` request, in order; quick ones come several at a time. */
  z.object({ type: z.literal('progress'), id, steps: z.array(DenoiseProgressSchema).min(1) }),
  z.object({ type: z.literal('result'), id, result: z.unknown() }),
  z.object({ type: z.literal('evicted'), evicted: EvictedSchema }),
  z.object({
    ...{ type: z.literal('error'), id, error: WireErrorSchema },
    /** The device of another worker that was lost or did not answer in time. */
    lostDevice: z.string().optional(),
  }),
])
export type FromWorker = z.infer<typeof FromWorkerSchema>
/** What answers a request, or leads to its answer. */
export type Answer = Extract<FromWorker, { id: number }>
